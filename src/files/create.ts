/** A new file beside what is there. */
import { constants, type FileHandle, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf } from './durable.ts';

/**
 * On disk when it resolves, of this mode whatever the umask. What stands at `path`, a link too, is never touched, unless a run that was killed left it: then
 * it is a file of ours, of this mode, that holds just these bytes, or nothing yet.
 * @returns false when it was there already, with these bytes
 * @throws the file system's own error, `EEXIST` for one; nothing of the file is left then
 */
export async function createFile(path: string, bytes: Uint8Array, mode: number): Promise<boolean> {
  try {
    await write(path, bytes, mode);
  } catch (error) {
    const left = codeOf(error) === 'EEXIST' ? await leftBehind(path, bytes, mode) : null;
    if (left === null) throw error;
    if (left === 'whole') return false;
    await rm(path);
    await write(path, bytes, mode);
  }
  return true;
}

async function write(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    await file.chmod(mode);
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await syncFolderOf(path);
}

/** What a run that was killed may have left: the whole file, or an empty one. Null: something else stands there. */
async function leftBehind(path: string, bytes: Uint8Array, mode: number): Promise<'whole' | 'empty' | null> {
  // Neither a link nor a pipe that somebody put there is followed, or waited for.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => null);
  if (file === null) return null;
  try {
    const found = await file.stat();
    const isOurs = found.mode === (constants.S_IFREG | mode) && found.uid === process.geteuid?.();
    if (!isOurs || found.size === 0) return isOurs ? 'empty' : null;
    if (found.size !== bytes.length || !(await holds(file, bytes))) return null;
    // It may have been killed before this.
    await file.sync();
  } finally {
    await file.close();
  }
  await syncFolderOf(path);
  return 'whole';
}

async function holds(file: FileHandle, bytes: Uint8Array): Promise<boolean> {
  const present = Buffer.alloc(bytes.length);
  try {
    await file.read(present);
    return present.equals(bytes);
  } finally {
    present.fill(0);
  }
}

async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
