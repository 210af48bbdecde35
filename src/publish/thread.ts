/** What runs in a thread of {@link ../files/threads.ts}: writes one public set. */
import { randomBytes } from 'node:crypto';
import { renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { messageOf } from '../errors.ts';
import { codeOf, ignoring, makeFolder, syncFolder, writeDurably } from '../files/durable.ts';
import type { Failure } from '../files/threads.ts';

export interface Task {
  readonly path: string;
  readonly text: string;
}

parentPort?.on('message', (task: Task) => parentPort?.postMessage(answer(task)));

function answer({ path, text }: Task): Failure | null {
  const folder = dirname(path);
  const unfinished = join(folder, `.${randomBytes(8).toString('hex')}`);
  try {
    makeFolder(folder, 0o755);
    // Readable to the web server. A rename swaps the whole file, so that it never serves half a set.
    writeDurably([[unfinished, Buffer.from(text)]], 0o644);
    renameSync(unfinished, path);
    syncFolder(folder);
    return null;
  } catch (error) {
    // Where a file stands in the place of the folder, nothing is left behind.
    ignoring(['ENOTDIR'], () => rmSync(unfinished, { force: true }));
    return { code: codeOf(error), message: messageOf(error) };
  }
}
