/** One delivery to a client's folder, which may not be there yet, or still be laid out as version 0.1 did it. Blocks. */
import { randomBytes } from 'node:crypto';
import { lstatSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Access, folderIds, PRIVATE, reportsAccess } from '../files/access.ts';
import { codeOf, fitFolder, ignoring, linkTarget, makeFolder, syncFolder } from '../files/durable.ts';
import { type Files, type Place, refuseIfFenced, replaceSet } from './versions.ts';

export interface Target {
  /** The app's folder. */
  readonly folder: string;
  /** The client's name in it. */
  readonly client: string;
  readonly access: Access;
  /** As in {@link Place}. */
  readonly stores: readonly string[];
  /** The folder that the client's signers write their reports to. */
  readonly reports: string;
}

/** So often another process may be faster in the same folder. */
const ATTEMPTS = 20;

/** What the file system says when another process was faster; then it is done again from the start. */
const OVERTAKEN: readonly string[] = ['ENOENT', 'ENOTEMPTY', 'EEXIST'];

/**
 * Replaces all that `<folder>/<client>` holds of ours; on disk when it returns. Other files in it are left alone.
 * @throws as {@link replaceSet}, and Error where something stands there that rekeyd did not make
 */
export function replaceFolder(target: Target, files: Files, epoch: number): void {
  makeFolder(target.folder, target.access.dirMode, folderIds(target.access));
  fitParents(target);
  for (let attempt = 1; ; attempt++) {
    try {
      replaceOnce(target, files, epoch);
      return;
    } catch (error) {
      if (!OVERTAKEN.includes(codeOf(error)) || attempt === ATTEMPTS) throw error;
    }
  }
}

/** rekeyd made the folders above a client's, perhaps when the sink did not let a group in yet. */
function fitParents({ folder, access }: Target): void {
  if (access.dirMode === PRIVATE.dirMode && access.group === null) return;
  const [deployment, root] = [dirname(folder), dirname(dirname(folder))];
  for (const path of [folder, deployment]) fitFolder(path, access.dirMode, folderIds(access));
  // A person set any other mode, or made the folder: it stays as it is.
  const { mode, uid } = lstatSync(root);
  if ((mode & 0o7777) === PRIVATE.dirMode && uid === process.geteuid?.()) {
    fitFolder(root, access.dirMode, folderIds(access));
  }
}

function replaceOnce(target: Target, files: Files, epoch: number): void {
  const { folder, client, access, stores } = target;
  const place: Place = { path: join(folder, client), access, stores };
  const former = { path: join(folder, `.${client}`), prefix: `.${client}/` };
  const present = lstatSync(place.path, { throwIfNoEntry: false });
  if (present !== undefined && !present.isDirectory()) {
    if (!present.isSymbolicLink() || !linkTarget(place.path)?.startsWith(former.prefix)) {
      throw new Error('there is already something that rekeyd did not make. Move it away');
    }
    migrate(place, former, files, epoch);
    makeReports(target);
    return;
  }
  if (present === undefined) makeFolder(place.path, access.dirMode, folderIds(access));
  makeReports(target);
  replaceSet(place, files, epoch);
  // Its readers have had time since the migration.
  if (lstatSync(former.path, { throwIfNoEntry: false }) !== undefined)
    rmSync(former.path, { recursive: true, force: true });
}

/** In version 0.1 the client's path was a link to a version in a hidden folder beside it: `4711` → `.4711/<epoch>-<8 hex digits>`. */
interface Former {
  /** The hidden folder. Its name begins with a dot, as no encoded id does. */
  readonly path: string;
  readonly prefix: string;
}

/**
 * A complete folder is made aside and takes the place of the link. No call swaps a link for a folder, so the path is missing for a moment: the signer library
 * tries again. The version that the link led to stays until the next delivery, for readers that have it open.
 */
function migrate(place: Place, former: Former, files: Files, epoch: number): void {
  const [, before = '0'] = /^(\d+)-/.exec(linkTarget(place.path)?.slice(former.prefix.length) ?? '') ?? [];
  refuseIfFenced(place, { epoch: Number(before), store: null, name: undefined }, epoch);
  const path = join(former.path, `new-${randomBytes(4).toString('hex')}`);
  try {
    makeFolder(path, place.access.dirMode, folderIds(place.access));
    replaceSet({ ...place, path }, files, epoch);
    // Not of a folder that another process has put there meanwhile.
    ignoring(['ENOENT', 'EISDIR', 'EPERM'], () => unlinkSync(place.path));
    renameSync(path, place.path);
    syncFolder(dirname(place.path));
  } catch (error) {
    ignoring(['ENOENT'], () => rmSync(path, { recursive: true, force: true }));
    throw error;
  }
}

function makeReports({ reports, access }: Target): void {
  const { mode, ...ids } = reportsAccess(access);
  const present = lstatSync(reports, { throwIfNoEntry: false });
  if (present === undefined) {
    makeFolder(dirname(reports), access.dirMode, folderIds(access));
    makeFolder(reports, mode, ids);
  } else fitFolder(reports, mode, ids, present);
}
