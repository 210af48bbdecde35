import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf } from './durable.ts';

/**
 * Makes a folder (absolute path) and those above it, within the umask, where they are missing. Not `mkdir`'s own recursion: it spins for ever where a
 * parent exists and `mkdir` still answers ENOENT, as in /proc.
 */
export async function ensureFolder(path: string, mode: number): Promise<void> {
  if (await exists(path)) return;
  await ensureFolder(dirname(path), mode);
  // Another process may have been faster.
  await mkdir(path, mode).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
