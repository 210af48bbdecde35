/** Files that are on disk, with the right mode, before the next step begins. Blocks: only for the threads of {@link ./threads.ts}. */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { type Ids, NotGiven, OWN } from './access.ts';

/**
 * Makes a folder (absolute path) and those above it, of this mode whatever the umask. One that is there keeps the mode that its owner gave it.
 * Not `mkdir`'s own recursion: it spins for ever where a parent exists and `mkdir` still answers ENOENT, as in /proc.
 * @throws NotGiven
 */
export function makeFolder(path: string, mode: number, ids: Ids = OWN): void {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  makeFolder(dirname(path), mode, ids);
  // Another process may have been faster.
  const isMade = ignoring(['EEXIST'], () => {
    mkdirSync(path, mode);
    return true;
  });
  if (isMade === undefined) return;
  chmodSync(path, mode);
  give(path, ids, () => chownSync(path, ids.owner ?? -1, ids.group ?? -1));
  syncFolder(dirname(path));
}

/**
 * Gives a folder that is there the mode and ids of one that is made today: the config may have changed.
 * @param present the result of `lstat` on `path`; absent: it is read here
 * @throws NotGiven
 */
export function fitFolder(path: string, mode: number, ids: Ids, present: Stats = lstatSync(path)): void {
  if (!present.isDirectory()) throw new Error(`${path} is not a folder, and rekeyd did not make it. Move it away`);
  const { owner, group } = ids;
  if ((present.mode & 0o7777) !== mode) chmodSync(path, mode);
  if ((owner !== null && owner !== present.uid) || (group !== null && group !== present.gid)) {
    give(path, ids, () => chownSync(path, owner ?? -1, group ?? -1));
  }
}

/** After the mode is set: that of another user's file cannot be changed any more. */
function give(path: string, ids: Ids, change: () => void): void {
  if (ids.owner === null && ids.group === null) return;
  try {
    change();
  } catch (error) {
    throw codeOf(error) === 'EPERM' ? new NotGiven(path, ids, 'EPERM') : error;
  }
}

/**
 * Writes new files of this mode, whatever the umask. All are written before the first is synced: journals put them on disk together, which costs little more
 * than one of them.
 * @param files by absolute path
 * @throws NotGiven
 */
export function writeDurably(
  files: Iterable<readonly [path: string, bytes: Uint8Array]>,
  mode: number,
  ids: Ids = OWN,
): void {
  const opened: number[] = [];
  try {
    for (const [path, bytes] of files) {
      const file = openSync(path, 'wx', mode);
      opened.push(file);
      fchmodSync(file, mode);
      // Before anything is in it: the group that a file is made with may not be the one that is to read it.
      give(path, ids, () => fchownSync(file, ids.owner ?? -1, ids.group ?? -1));
      writeFileSync(file, bytes);
    }
    for (const file of opened) fsyncSync(file);
  } finally {
    for (const file of opened) closeSync(file);
  }
}

/** Whether a file is as {@link writeDurably} would make it of these bytes. */
export function isWritten(path: string, bytes: Uint8Array, mode = 0o600, { owner, group }: Ids = OWN): boolean {
  const found = lstatSync(path);
  if (found.mode !== (constants.S_IFREG | mode) || found.size !== bytes.length) return false;
  if (found.uid !== (owner ?? process.geteuid?.()) || (group !== null && found.gid !== group)) return false;
  const present = Buffer.alloc(bytes.length);
  const file = openSync(path, 'r');
  try {
    readSync(file, present);
    return present.equals(bytes);
  } finally {
    present.fill(0);
    closeSync(file);
  }
}

/** Makes the names in a folder durable: without it a power cut can forget a rename although the file's contents are on disk. */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Where a link leads, or undefined when there is none. */
export function linkTarget(path: string): string | undefined {
  return ignoring(['ENOENT', 'EINVAL'], () => readlinkSync(path));
}

/** The operation's result, or undefined when it failed with one of these codes. */
export function ignoring<T>(codes: readonly string[], operation: () => T): T | undefined {
  try {
    return operation();
  } catch (error) {
    if (codes.includes(codeOf(error))) return undefined;
    throw error;
  }
}

/** The errno name of a file-system error, or an empty text. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
