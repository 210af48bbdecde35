/** Reading a small file at a path where others may have put something else. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

export type NotSmall = 'no file' | 'too large';

/**
 * All bytes of a file, or why it is not read.
 * @param most in bytes
 * @param flags beside those for reading, such as `O_NOFOLLOW`
 * @throws the file system's own errors
 */
export async function readSmall(path: string, most: number, flags = 0): Promise<Buffer | NotSmall> {
  // A pipe that nobody writes to would keep an ordinary open waiting.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  try {
    if (!(await file.stat()).isFile()) return 'no file';
    // One byte more shows that there is more.
    const { bytesRead, buffer } = await file.read(Buffer.alloc(most + 1), 0, most + 1, 0);
    return bytesRead > most ? 'too large' : buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
