/** A new file beside what is there. */
import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * On disk when it resolves, of this mode whatever the umask. What stands at `path`, a link too, is never touched.
 * @throws the file system's own error, `EEXIST` for one; nothing of the file is left then
 */
export async function createFile(path: string, bytes: Uint8Array, mode: number): Promise<void> {
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
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
