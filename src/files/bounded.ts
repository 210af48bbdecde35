/** Reads files with a bound: a device has no end, a file may grow meanwhile, and others may have put something else at a path. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** Bytes that are read at a time. */
const PIECE = 64 * 1024;

/**
 * Reads on until the end. Only the result holds what was read: all other buffers are zeroed, for it may be a secret.
 * @param most in bytes
 * @returns null when the file is longer
 */
export async function readAtMost(file: FileHandle, most: number): Promise<Buffer | null> {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for (;;) {
      const piece = Buffer.alloc(Math.min(PIECE, most + 1 - size));
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      pieces.push(piece.subarray(0, bytesRead));
      size += bytesRead;
      if (size > most) return null;
      if (bytesRead === 0) return Buffer.concat(pieces);
    }
  } finally {
    for (const piece of pieces) piece.fill(0);
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
  // A pipe without a writer would keep an ordinary open waiting.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  try {
    if (!(await file.stat()).isFile()) return 'no file';
    return (await readAtMost(file, most)) ?? 'too large';
  } finally {
    await file.close();
  }
}
