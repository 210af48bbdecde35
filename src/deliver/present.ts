/** What a client's folder holds, as far as it tells. */
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Delivery } from '../core/signers.ts';
import type { Access } from '../files/access.ts';
import { deliveryIn, META } from './key-set.ts';

/**
 * Null when there is no set that can be read, or when it was made for another access, or laid out as version 0.1 did it: the next delivery puts that right,
 * or says what is wrong.
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
