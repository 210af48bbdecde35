/** Files that are on disk, with the right mode, before the next step begins. Blocks: only for the threads of {@link ./threads.ts}. */
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  readSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder (absolute path) and those above it, of this mode whatever the umask. One that is there keeps the mode that its owner gave it.
 * Not `mkdir`'s own recursion: it spins for ever where a parent exists and `mkdir` still answers ENOENT, as in /proc.
 */
export function makeFolder(path: string, mode: number): void {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  makeFolder(dirname(path), mode);
  // Another process may have been faster.
  const isMade = ignoring(['EEXIST'], () => {
    mkdirSync(path, mode);
    return true;
  });
  if (isMade === undefined) return;
  chmodSync(path, mode);
  syncFolder(dirname(path));
}

/** A regular file, 0600. */
const PRIVATE_FILE = constants.S_IFREG | 0o600;

/**
 * Writes new files of this mode, whatever the umask. All are written before the first is synced: journals put them on disk together, which costs little more
 * than one of them.
 * @param files by absolute path
 */
export function writeDurably(files: Iterable<readonly [path: string, bytes: Uint8Array]>, mode: number): void {
  const opened: number[] = [];
  try {
    for (const [path, bytes] of files) {
      const file = openSync(path, 'wx', mode);
      opened.push(file);
      fchmodSync(file, mode);
      writeFileSync(file, bytes);
    }
    for (const file of opened) fsyncSync(file);
  } finally {
    for (const file of opened) closeSync(file);
  }
}

/** Whether a file is as {@link writeDurably} would make it of these bytes, 0600. */
export function isWritten(path: string, bytes: Uint8Array): boolean {
  const { mode, uid, size } = lstatSync(path);
  if (mode !== PRIVATE_FILE || uid !== process.geteuid?.() || size !== bytes.length) return false;
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

/** Makes the names in a folder durable: without it a power cut can forget a rename whose file contents are on disk. */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Where a link leads, or undefined when nothing is there. */
export function linkTarget(path: string): string | undefined {
  return ignoring(['ENOENT'], () => readlinkSync(path));
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
