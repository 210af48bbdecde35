/**
 * Reads files with bounds: a device has no end, a file may grow meanwhile, and others may have put something else at a path. Where a file was named by a person, a
 * pipe is read too, since `<(command)` is one, and its writers are waited for with a bound.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { monotonic, sleep } from '../time.ts';

/** Bytes that are read at a time. */
const PIECE = 64 * 1024;

/** How long a pipe is waited for, in ms. */
export interface Patience {
  /** A program has the pipe open for writing: it may ask a person for a password first. */
  readonly writing: number;
  /** No program has. One that waits for a reader opens it at once now. */
  readonly absent: number;
}

const PATIENCE: Patience = { writing: 30_000, absent: 5_000 };

/** How often a pipe without bytes is looked at, in ms. */
const PAUSE_MS = 20;

/** Opens without a wait. An ordinary open of a pipe returns only when a program opens the other end; here {@link readAtMost} waits, with a bound. */
export function openToRead(path: string, flags = 0): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
}

/**
 * Reads on until the end. Only the result holds what was read: all other buffers are zeroed, for it may be a secret.
 * @param file as {@link openToRead} opens it
 * @param most in bytes
 * @returns null when the file is longer
 * @throws the file system's own errors, and one like them with the code `ETIMEDOUT` for a pipe that does not come to its end
 */
export async function readAtMost(file: FileHandle, most: number, patience = PATIENCE): Promise<Buffer | null> {
  const since = monotonic();
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for (;;) {
      const piece = Buffer.alloc(Math.min(PIECE, most + 1 - size));
      const bytesRead = await readNow(file, piece);
      if (bytesRead !== null) pieces.push(piece.subarray(0, bytesRead));
      size += bytesRead ?? 0;
      if (size > most) return null;
      // A pipe shows its end also while no program has opened it for writing yet.
      if (bytesRead === 0 && (size > 0 || !(await file.stat()).isFIFO())) return Buffer.concat(pieces);
      if (!bytesRead) await pause(monotonic() - since, bytesRead === null ? 'writing' : 'absent', patience);
    }
  } finally {
    for (const piece of pieces) piece.fill(0);
  }
}

/** @returns null when there is nothing to read yet, and the end has not come */
async function readNow(file: FileHandle, piece: Buffer): Promise<number | null> {
  try {
    return (await file.read(piece, 0, piece.length, null)).bytesRead;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return null;
    throw error;
  }
}

/** Before the next look at a pipe. @throws Error with the code `ETIMEDOUT` */
async function pause(waitedMs: number, writer: keyof Patience, patience: Patience): Promise<void> {
  if (waitedMs < patience[writer]) return sleep(PAUSE_MS);
  const message =
    writer === 'absent'
      ? 'it is a pipe, and no program has written to it'
      : `it is a pipe or a terminal, and what is written to it had no end within ${patience.writing / 1000} s`;
  throw Object.assign(new Error(message), { code: 'ETIMEDOUT', syscall: 'read' });
}

/**
 * All bytes of what a person named: a file, and also a pipe or a device.
 * @param most in bytes
 * @returns null when there are more
 * @throws as {@link readAtMost}
 */
export async function readNamed(path: string, most: number, patience = PATIENCE): Promise<Buffer | null> {
  const file = await openToRead(path);
  try {
    return await readAtMost(file, most, patience);
  } finally {
    await file.close();
  }
}

export type NotSmall = 'no file' | 'too large';

/**
 * All bytes of the file at a path, or why it is not read.
 * @param most in bytes
 * @param flags beside those for reading, such as `O_NOFOLLOW`
 * @throws the file system's own errors
 */
export async function readSmall(path: string, most: number, flags = 0): Promise<Buffer | NotSmall> {
  const file = await openToRead(path, flags);
  try {
    if (!(await file.stat()).isFile()) return 'no file';
    return (await readAtMost(file, most)) ?? 'too large';
  } finally {
    await file.close();
  }
}
