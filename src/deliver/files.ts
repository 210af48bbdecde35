/** Private files that are on disk, with the right mode, before the next step begins. */
import { chmod, mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a folder (absolute path) and those above it, 0700 whatever the umask. One that is there keeps the mode that its owner gave it.
 * Not `mkdir`'s own recursion: it spins for ever where a parent exists and `mkdir` still answers ENOENT, as in /proc.
 */
export async function makeFolder(path: string): Promise<void> {
  if ((await ignoring(['ENOENT'], stat(path))) !== undefined) return;
  await makeFolder(dirname(path));
  const made = await ignoring(
    ['EEXIST'],
    mkdir(path, 0o700).then(() => true),
  ); // another process may have been faster
  if (made === undefined) return;
  await chmod(path, 0o700);
  await syncFolder(dirname(path));
}

/** Writes a new file, 0600 whatever the umask. */
export async function writeDurably(path: string, text: string): Promise<void> {
  // Memory of its own, cleared after use: the bytes that Node makes of a text itself lie in a pool, where a private key would stay.
  const bytes = Buffer.alloc(Buffer.byteLength(text));
  bytes.write(text);
  const file = await open(path, 'wx', 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    bytes.fill(0);
    await file.close();
  }
}

/** Makes the names in a folder durable: without it a power cut can forget a rename whose file contents are on disk. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The operation's result, or undefined when it failed with one of these codes. */
export async function ignoring<T>(codes: readonly string[], operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (codes.includes(codeOf(error))) return undefined;
    throw error;
  }
}

/** The errno name of a file-system error, or an empty text. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
