/** What runs in a thread of {@link ./threads.ts}: one task at a time, each answered once. */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { messageOf } from '../errors.ts';
import { codeOf, makeFolder, writeDurably } from './files.ts';
import { type KeySet, keySetFiles } from './key-set.ts';
import { replaceFolder } from './versions.ts';

export type Task =
  | { readonly do: 'replace'; readonly folder: string; readonly client: string; readonly set: KeySet }
  /** Tries whether the folder takes files. */
  | { readonly do: 'try'; readonly folder: string };

/** Null when it is done; else the file system's own error. */
export type Answer = { readonly code: string; readonly message: string } | null;

parentPort?.on('message', (task: Task) => parentPort?.postMessage(answer(task)));

function answer(task: Task): Answer {
  try {
    if (task.do === 'replace') replaceFolder(task.folder, task.client, keySetFiles(task.set));
    else tryFolder(task.folder);
    return null;
  } catch (error) {
    return { code: codeOf(error), message: messageOf(error) };
  }
}

function tryFolder(folder: string): void {
  const probe = join(folder, `.check.${randomBytes(8).toString('hex')}`);
  makeFolder(folder);
  try {
    writeDurably(probe, 'x');
  } finally {
    rmSync(probe, { force: true });
  }
}
