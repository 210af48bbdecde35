/** The fence of a key folder: sets of an earlier claim do not replace one of a later claim. */
import { readlink, rename, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { FleetClient } from './fleet.ts';

/** Under which claim the set that stands there was delivered. */
export async function epochOf({ folder }: FleetClient): Promise<number> {
  return Number(basename(await readlink(folder)).split('-')[0]);
}

/** The set that stands there, as if it had been delivered under a claim that comes `ms` later. Answers that claim. */
export async function putAhead(client: FleetClient, ms: number): Promise<number> {
  const { folder } = client;
  const epoch = (await epochOf(client)) + ms;
  const target = await readlink(folder);
  const later = join(dirname(target), `${epoch}-00000000`);
  const inParent = (path: string) => join(dirname(folder), path);
  await rename(inParent(target), inParent(later));
  await symlink(later, inParent(`.${basename(folder)}-later`));
  await rename(inParent(`.${basename(folder)}-later`), folder);
  return epoch;
}
