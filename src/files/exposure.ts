/** Who else on this machine can come at a file. Access lists beyond the mode, and what containers hide, are not looked at. */
import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

const OTHERS_READ = 0o004;
const OTHERS_ENTER = 0o001;
/** Of a folder: a user who may write there can replace what is in it. */
const NOT_OWNER_WRITES = 0o022;
const STICKY = 0o1000;

/** True when a user who is neither the owner nor in the group can read it: its own mode and those of all folders above it let him. False when it is not there. */
export async function isReadableByOthers(path: string): Promise<boolean> {
  const real = await realpath(path).catch(() => null);
  if (real === null || !(await has(real, OTHERS_READ))) return false;
  return canBeEntered(dirname(real));
}

/** True when any user can come through all folders down to this one. */
export async function canBeEntered(folder: string): Promise<boolean> {
  if (!(await has(folder, OTHERS_ENTER))) return false;
  return folder === dirname(folder) || canBeEntered(dirname(folder));
}

/** The first folder, from this one up, that members of the group cannot come through; null when they can come here. */
export async function closedTo(group: number, folder: string): Promise<string | null> {
  const found = await stat(folder).catch(() => null);
  const isOpen =
    found === null || (found.mode & OTHERS_ENTER) !== 0 || (found.gid === group && (found.mode & 0o010) !== 0);
  if (!isOpen) return folder;
  return folder === dirname(folder) ? null : closedTo(group, dirname(folder));
}

export async function canBeReplacedIn(folder: string): Promise<boolean> {
  const mode = await modeOf(folder);
  return mode !== null && (mode & NOT_OWNER_WRITES) !== 0 && (mode & STICKY) === 0;
}

async function has(path: string, bits: number): Promise<boolean> {
  const mode = await modeOf(path);
  return mode !== null && (mode & bits) !== 0;
}

async function modeOf(path: string): Promise<number | null> {
  return stat(path).then(
    ({ mode }) => mode,
    () => null,
  );
}
