/** Which keys a client's folder says that it holds. */
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Delivery } from '../core/signers.ts';
import type { Access } from '../files/access.ts';
import { deliveryIn, META } from './key-set.ts';

/**
 * Null where a delivery is needed: no set can be read, or it was made for another access, or version 0.1 made it. The delivery then puts that right, or says
 * what is wrong.
 */
export async function readDelivery(folder: string, access: Access): Promise<Delivery | null> {
  let file: FileHandle | null = null;
  try {
    const own = await lstat(folder);
    // In version 0.1 it was a link.
    if (!own.isDirectory() || (own.mode & 0o7777) !== access.dirMode || isOther(access.group, own.gid)) return null;
    file = await open(join(folder, META));
    const { mode, uid, gid } = await file.stat();
    const isMadeAnew = (mode & 0o7777) !== access.mode || isOther(access.owner, uid) || isOther(access.group, gid);
    return isMadeAnew ? null : deliveryIn(await file.readFile('utf8'));
  } catch {
    return null;
  } finally {
    await file?.close();
  }
}

function isOther(wanted: number | null, id: number): boolean {
  return wanted !== null && wanted !== id;
}
