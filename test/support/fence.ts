/** The fence of a key folder: sets of an earlier claim do not replace one of a later claim. */
import { readlink, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { FleetClient } from './fleet.ts';

/** The claim under which the set in the folder was delivered. */
export async function epochOf({ folder }: FleetClient): Promise<number> {
  return Number(/^\.\.(\d+)-/.exec(await readlink(join(folder, '..data')))?.[1]);
}

/** Makes the set in the folder look as if it had been delivered under a claim that comes `ms` later. @returns that claim */
export async function putAhead(client: FleetClient, ms: number): Promise<number> {
  const { folder } = client;
  const epoch = (await epochOf(client)) + ms;
  const version = await readlink(join(folder, '..data'));
  const later = version.replace(/^\.\.\d+/, `..${epoch}`);
  // rekeyd does this in the other order. Here nobody reads meanwhile.
  await rename(join(folder, version), join(folder, later));
  await symlink(later, join(folder, '..later'));
  await rename(join(folder, '..later'), join(folder, '..data'));
  return epoch;
}
