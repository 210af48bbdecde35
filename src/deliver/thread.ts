/** What runs in a thread of {@link ../files/threads.ts}: one task at a time, each answered once. */
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { messageOf } from '../errors.ts';
import { type Access, folderIds } from '../files/access.ts';
import { codeOf, makeFolder, syncFolder, writeDurably } from '../files/durable.ts';
import type { Failure } from '../files/threads.ts';
import { replaceFolder, type Target } from './replace.ts';
import { type Files, OfAnotherStore, Outdated } from './versions.ts';

export type Task =
  | { readonly do: 'replace'; readonly target: Target; readonly files: Files; readonly epoch: number }
  /** Puts a file on disk that will replace another one, and makes its folders. */
  | { readonly do: 'draft'; readonly path: string; readonly bytes: Uint8Array; readonly access: Access }
  /** Puts a draft in the place of a file. Removes the folder of the draft, with the drafts of all others in it. */
  | { readonly do: 'swap'; readonly draft: string; readonly path: string }
  /** Tries whether the folder takes files, with that access, and where `links` says so links to them. */
  | { readonly do: 'try'; readonly folder: string; readonly access: Access; readonly links: boolean };

export interface Undelivered extends Failure {
  /** Of the newer set that was found; 0 when it is another problem. */
  readonly epoch: number;
  /** The other store that delivers there; null when it is another problem. */
  readonly store: string | null;
}

parentPort?.on('message', (task: Task) => parentPort?.postMessage(answer(task)));

function answer(task: Task): Undelivered | null {
  try {
    if (task.do === 'replace') replaceAndClear(task);
    else if (task.do === 'draft') writeDraft(task);
    else if (task.do === 'swap') swap(task);
    else tryFolder(task);
    return null;
  } catch (error) {
    return {
      code: codeOf(error),
      message: messageOf(error),
      epoch: error instanceof Outdated ? error.epoch : 0,
      store: error instanceof OfAnotherStore ? error.store : null,
    };
  }
}

function replaceAndClear({ target, files, epoch }: Extract<Task, { do: 'replace' }>): void {
  try {
    replaceFolder(target, files, epoch);
  } finally {
    for (const bytes of files.values()) bytes.fill(0);
  }
}

function writeDraft({ path, bytes, access }: Extract<Task, { do: 'draft' }>): void {
  makeFolder(dirname(path), access.dirMode, folderIds(access));
  writeDurably([[path, bytes]], access.mode, access);
}

/** Readers see the old file or the new one. */
function swap({ draft, path }: Extract<Task, { do: 'swap' }>): void {
  renameSync(draft, path);
  rmSync(dirname(draft), { recursive: true, force: true });
  syncFolder(dirname(path));
}

function tryFolder({ folder, access, links }: Extract<Task, { do: 'try' }>): void {
  const name = `.check.${randomBytes(8).toString('hex')}`;
  const [file, link] = [join(folder, name), join(folder, `${name}.link`)];
  makeFolder(folder, access.dirMode, folderIds(access));
  try {
    writeDurably([[file, Buffer.from('x')]], access.mode, access);
    if (links) tryLink(name, link);
  } finally {
    for (const path of [link, file]) rmSync(path, { force: true });
  }
}

/** For the hint that follows it; see `HINTS` of the sink. */
class NoLinks extends Error {
  readonly code = 'LINKS';
}

/** Readers open keys through links. Some file systems make none, which they call a missing right, and some mounts follow none. */
function tryLink(name: string, link: string): void {
  try {
    symlinkSync(name, link);
    readFileSync(link);
  } catch (error) {
    throw new NoLinks(`a symbolic link there cannot be made and read (${messageOf(error)})`);
  }
}
