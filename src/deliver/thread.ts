/** What runs in a thread of {@link ../files/threads.ts}: one task at a time, each answered once. */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { messageOf } from '../errors.ts';
import { codeOf, makeFolder, writeDurably } from '../files/durable.ts';
import type { Failure } from '../files/threads.ts';
import { type Files, Outdated, replaceFolder } from './versions.ts';

export type Task =
  | {
      readonly do: 'replace';
      readonly folder: string;
      readonly client: string;
      readonly files: Files;
      readonly epoch: number;
    }
  /** Tries whether the folder takes files. */
  | { readonly do: 'try'; readonly folder: string };

export interface Undelivered extends Failure {
  /** Of the newer set that was found; 0 when it is another problem. */
  readonly epoch: number;
}

parentPort?.on('message', (task: Task) => parentPort?.postMessage(answer(task)));

function answer(task: Task): Undelivered | null {
  try {
    if (task.do === 'replace') replaceAndClear(task);
    else tryFolder(task.folder);
    return null;
  } catch (error) {
    return { code: codeOf(error), message: messageOf(error), epoch: error instanceof Outdated ? error.epoch : 0 };
  }
}

function replaceAndClear({ folder, client, files, epoch }: Extract<Task, { do: 'replace' }>): void {
  try {
    replaceFolder(folder, client, files, epoch);
  } finally {
    for (const bytes of files.values()) bytes.fill(0);
  }
}

function tryFolder(folder: string): void {
  const probe = join(folder, `.check.${randomBytes(8).toString('hex')}`);
  makeFolder(folder, 0o700);
  try {
    writeDurably([[probe, Buffer.from('x')]], 0o600);
  } finally {
    rmSync(probe, { force: true });
  }
}
