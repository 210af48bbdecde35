/**
 * Swapping a client's folder. Its path is a symbolic link to a version in the hidden folder beside it (`4711` → `.4711/<epoch>-<8 hex digits>`), and one
 * rename of a link swaps the whole set: a reader that follows the link sees all of the old set or all of the new one. Blocks, as {@link ../files/durable.ts} does.
 */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
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
import { dirname, join } from 'node:path';
import { codeOf, ignoring, isWritten, linkTarget, makeFolder, syncFolder, writeDurably } from '../files/durable.ts';

/** The link that will replace the client's path, kept inside its version folder until then. */
const PENDING = 'pending';

/** A version folder is lost to a neighbour's clean-up only when that neighbour has just delivered, so a few repeats are plenty. */
const ATTEMPTS = 20;

/** By name; see {@link keySetFiles}. */
export type Files = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** A set stands there that was delivered under a later claim. */
export class Outdated extends Error {
  readonly epoch: number;

  constructor(epoch: number) {
    super('a newer set stands there');
    this.epoch = epoch;
  }
}

/** The paths of one client. */
interface Place {
  /** What readers open: a link to the version in use. */
  readonly link: string;
  /** Holds the versions; its name begins with a dot, as no encoded id does. */
  readonly versions: string;
  /** The link's target without the version's name. */
  readonly prefix: string;
}

/**
 * Replaces all that `<folder>/<client>` holds; on disk when it returns.
 *
 * Two deliveries at once: each takes the pending links of all others when it has swapped its own in. So an earlier epoch that was stopped on its way finds
 * its link gone, or swaps before that, and then the later one sees it and delivers again.
 * @throws the file system's own errors, and {@link Outdated}; readers then still have a complete set
 */
export function replaceFolder(folder: string, client: string, files: Files, epoch: number): void {
  const place: Place = { link: join(folder, client), versions: join(folder, `.${client}`), prefix: `.${client}/` };
  makeFolder(folder, 0o700);
  refuseForeign(place);
  makeFolder(place.versions, 0o700);
  do {
    replaceSet(place, files, epoch);
    // Of any process; a second one may be at work on one of them, see `removeUnlessCurrent`.
    for (const name of readdirSync(place.versions)) removeUnlessCurrent(place, name);
  } while (epochInUse(place) < epoch);
}

/** Puts a complete version on disk, then swaps it in. The order is the promise: the link never names what a power cut could take away. */
function replaceSet(place: Place, files: Files, epoch: number): void {
  const present = filesInUse(place);
  for (let attempt = 1; ; attempt++) {
    const name = `${epoch}-${randomBytes(4).toString('hex')}`;
    const version = join(place.versions, name);
    try {
      mkdirSync(version, 0o700);
      chmodSync(version, 0o700);
      // First of all: `removeUnlessCurrent` tells by it whether this version may still be swapped in.
      symlinkSync(place.prefix + name, join(version, PENDING));
      const inUse = epochInUse(place);
      if (inUse > epoch) throw new Outdated(inUse);
      const paths = [...files].map(([file, bytes]) => [join(version, file), bytes] as const);
      writeDurably(
        paths.filter(([path, bytes]) => !isShared(path, bytes, present)),
        0o600,
      );
      syncFolder(version);
      syncFolder(place.versions);
      renameSync(join(version, PENDING), place.link);
      syncFolder(dirname(place.link));
      return;
    } catch (error) {
      cleanUp(place, name);
      // Another process delivered meanwhile and took this unfinished version for the remains of a crash.
      if (codeOf(error) !== 'ENOENT' || attempt === ATTEMPTS) throw error;
    }
  }
}

/** 0 when nothing is there. */
function epochInUse({ link, prefix }: Place): number {
  const [, epoch = '0'] = /^(\d+)-/.exec(linkTarget(link)?.slice(prefix.length) ?? '') ?? [];
  return Number(epoch);
}

interface Present {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
}

function filesInUse({ link }: Place): readonly Present[] {
  const target = linkTarget(link);
  if (target === undefined) return [];
  const version = join(dirname(link), target);
  return (ignoring(['ENOENT'], () => readdirSync(version)) ?? []).flatMap((name) => {
    const path = join(version, name);
    const size = lstatSync(path, { throwIfNoEntry: false })?.size;
    return size === undefined ? [] : [{ path, size }];
  });
}

function isShared(path: string, bytes: Uint8Array, present: readonly Present[]): boolean {
  const same = present.filter(({ size }) => size === bytes.length);
  return same.some((other) => isLinked(path, other.path, bytes));
}

/**
 * A second name for a file of the set before that holds the same: it is on disk already. One that somebody changed is not linked; whatever else keeps it
 * from that, writing the file says what is wrong.
 */
function isLinked(path: string, other: string, bytes: Uint8Array): boolean {
  try {
    if (!isWritten(other, bytes)) return false;
    linkSync(other, path);
    return true;
  } catch {
    return false;
  }
}

/** After a failure, whose error is the one that tells. */
function cleanUp(place: Place, name: string): void {
  try {
    removeUnlessCurrent(place, name);
  } catch {
    // The next delivery finds what is left.
  }
}

/**
 * Removes a version that is not in use. Another process may be about to swap it in, and must not swap in half a set: so its pending link is
 * taken first. With that gone its rename cannot succeed any more, and it starts again.
 */
function removeUnlessCurrent(place: Place, name: string): void {
  const version = join(place.versions, name);
  const begun = ignoring(['ENOENT'], () => readdirSync(version)) ?? [];
  ignoring(['ENOENT'], () => unlinkSync(join(version, PENDING)));
  // Only now is it settled which version is in use: without its pending link this one never will be, unless it is already.
  if (linkTarget(place.link) === place.prefix + name) return;
  // One that has just been begun has no pending link yet that could be taken; it is only removed if it is still empty.
  ignoring(['ENOENT', 'ENOTEMPTY'], () =>
    begun.length === 0 ? rmdirSync(version) : rmSync(version, { recursive: true, force: true }),
  );
}

function refuseForeign({ link, prefix }: Place): void {
  const found = lstatSync(link, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (found.isSymbolicLink() && linkTarget(link)?.startsWith(prefix)) return;
  throw new Error('something that rekeyd did not make stands there already. Move it away');
}
