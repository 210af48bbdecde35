/**
 * Swapping a client's set. `<client>/` is a folder that stays. The names in it are links through `..data`, and that is a link to the version in force
 * (`..<epoch>-<store>-<8 hex digits>`). One rename of a link swaps the whole set, also for those who see nothing but `<client>/`: as Kubernetes does with
 * Secrets. Blocks, as {@link ../files/durable.ts} does.
 */
import { randomBytes } from 'node:crypto';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Access, folderIds } from '../files/access.ts';
import { fitFolder, ignoring, isWritten, linkTarget, syncFolder, writeDurably } from '../files/durable.ts';
import { addLinks, DATA, isLinkOf } from './links.ts';

/** The link that will replace `..data`, kept inside its version until then. */
const PENDING = '..data_tmp';

const VERSION = /^\.\.(\d+)-(?:(.+)-)?[0-9a-f]{8}$/;

/** By name; see {@link keySetFiles}. */
export type Files = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** The folder holds a set that was delivered under a later claim. */
export class Outdated extends Error {
  readonly epoch: number;

  constructor(epoch: number) {
    super('a newer set stands there');
    this.epoch = epoch;
  }
}

/** The folder holds a set that another store delivered. */
export class OfAnotherStore extends Error {
  readonly store: string;

  constructor(store: string) {
    super(`the store ${store} delivers there`);
    this.store = store;
  }
}

/** The folder of one client, and who delivers to it. */
export interface Place {
  /** `<client>/` */
  readonly path: string;
  readonly access: Access;
  /** The id of the store that delivers, then those that it replaced. Empty: stores are not compared. */
  readonly stores: readonly string[];
}

export interface InUse {
  /** 0 when nothing is there. */
  readonly epoch: number;
  /** Null: it does not say which store. */
  readonly store: string | null;
  /** The name of the version; undefined when there is none. */
  readonly name: string | undefined;
}

function inUse({ path }: Place): InUse {
  const name = linkTarget(join(path, DATA));
  const [, epoch = '0', store = null] = VERSION.exec(name ?? '') ?? [];
  return { epoch: Number(epoch), store, name };
}

/** @throws OfAnotherStore, Outdated */
export function refuseIfFenced({ stores }: Place, { epoch: present, store }: InUse, epoch: number): void {
  if (store !== null && stores.length > 0 && !stores.includes(store)) throw new OfAnotherStore(store);
  if (present > epoch) throw new Outdated(present);
}

/**
 * Replaces the set in a folder that exists. The new one is on disk when it returns.
 *
 * Two processes may deliver at once, say epochs 6 and 7. Each swaps its own set in, then removes the pending links of all others. When 6 stood still before
 * its swap, it finds its link gone and fails. When 6 swaps just before its link is removed, 7 sees that and delivers again.
 * @throws the file system's own errors (`ENOENT` also where another process took this unfinished version for the remains of a crash), {@link Outdated},
 * {@link OfAnotherStore}; readers then still have a complete set
 */
export function replaceSet(place: Place, files: Files, epoch: number): void {
  fitFolder(place.path, place.access.dirMode, folderIds(place.access));
  let present: InUse;
  do {
    const name = swap(place, files, epoch);
    tidy(place, files, name);
    present = inUse(place);
    // A process that stood still for long may just have removed a name that only a later version has.
    if (present.name !== name && present.name !== undefined) addLinks(place.path, namesOf(place, present.name));
  } while (present.epoch < epoch);
}

/**
 * Puts a complete version on disk, then swaps it in. The order is the promise: the link never names what a power cut could take away, and no name that
 * readers know from `meta.json` is missing.
 * @returns the version's name
 */
function swap(place: Place, files: Files, epoch: number): string {
  const { path, access, stores } = place;
  const [store] = stores;
  const name = `..${epoch}${store === undefined ? '' : `-${store}`}-${randomBytes(4).toString('hex')}`;
  const version = join(path, name);
  try {
    mkdirSync(version, 0o700);
    fitFolder(version, access.dirMode, folderIds(access));
    // First of all: `removeUnlessCurrent` tells by it whether this version may still be swapped in.
    symlinkSync(name, join(version, PENDING));
    const present = inUse(place);
    refuseIfFenced(place, present, epoch);
    const others = filesOf(place, present.name);
    const paths = [...files].map(([file, bytes]) => [join(version, file), bytes] as const);
    writeDurably(
      paths.filter(([file, bytes]) => !isShared(file, bytes, others, access)),
      access.mode,
      access,
    );
    addLinks(path, files.keys());
    syncFolder(version);
    syncFolder(path);
    renameSync(join(version, PENDING), join(path, DATA));
    syncFolder(path);
    return name;
  } catch (error) {
    cleanUp(place, name);
    throw error;
  }
}

interface Present {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
}

function namesOf({ path }: Place, version: string): readonly string[] {
  return ignoring(['ENOENT'], () => readdirSync(join(path, version))) ?? [];
}

function filesOf(place: Place, version: string | undefined): readonly Present[] {
  if (version === undefined) return [];
  return namesOf(place, version).flatMap((name) => {
    const path = join(place.path, version, name);
    const size = lstatSync(path, { throwIfNoEntry: false })?.size;
    return size === undefined ? [] : [{ path, size }];
  });
}

function isShared(path: string, bytes: Uint8Array, present: readonly Present[], access: Access): boolean {
  const same = present.filter(({ size }) => size === bytes.length);
  return same.some((other) => isLinked(path, other.path, bytes, access));
}

/**
 * Gives a file of the set before a second name, when it holds the same bytes: it is on disk already. False when it was changed, or cannot be linked. The
 * caller then writes the file, and that says what is wrong.
 */
function isLinked(path: string, other: string, bytes: Uint8Array, access: Access): boolean {
  try {
    if (!isWritten(other, bytes, access.mode, access)) return false;
    linkSync(other, path);
    return true;
  } catch {
    return false;
  }
}

/** After a failure: the error of that one is reported. */
function cleanUp(place: Place, name: string): void {
  try {
    removeUnlessCurrent(place, name);
  } catch {
    // The next delivery finds what is left.
  }
}

/**
 * Removes all other versions, also those that another process still works on (see `removeUnlessCurrent`), and the links to files that the set does not have.
 * @param own the version that was swapped in. When another process has replaced it since, that process removes it.
 */
function tidy(place: Place, files: Files, own: string): void {
  for (const entry of readdirSync(place.path, { withFileTypes: true })) {
    const { name } = entry;
    if (name === own || name === DATA) continue;
    if (VERSION.test(name)) removeUnlessCurrent(place, name);
    else if (entry.isSymbolicLink() && !files.has(name) && isLinkOf(place.path, name)) {
      ignoring(['ENOENT'], () => unlinkSync(join(place.path, name)));
    }
  }
}

/**
 * Removes a version that is not in use. Another process may be about to swap it in, and must not swap in half a set: so its pending link is
 * taken first. With that gone its rename cannot succeed any more, and it starts again.
 */
function removeUnlessCurrent(place: Place, name: string): void {
  const version = join(place.path, name);
  const begun = namesOf(place, name);
  // A version gets this link before any file. One with files and without it was swapped in, or lost it to another process.
  if (begun.includes(PENDING)) ignoring(['ENOENT'], () => unlinkSync(join(version, PENDING)));
  // Looked at only now: without its pending link this version cannot be swapped in any more.
  if (inUse(place).name === name) return;
  // Another process may have just made this folder and not its pending link: it is removed only while it is empty.
  ignoring(['ENOENT', 'ENOTEMPTY'], () =>
    begun.length === 0 ? rmdirSync(version) : rmSync(version, { recursive: true, force: true }),
  );
}
