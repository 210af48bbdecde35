/** Reads files whose size is not known before: a device has no end, and a file may grow meanwhile. */
import type { FileHandle } from 'node:fs/promises';

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
