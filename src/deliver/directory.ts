/**
 * Keys as files, a folder per client (CONTRACTS.md, "Key directory sink"). The client's path is a symbolic link to a version in the hidden
 * folder beside it (`4711` → `.4711/<16 hex digits>`), and one rename of a link swaps the whole set: a reader that follows the link sees all
 * of the old set or all of the new one.
 */
import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, readlink, rename, rm, rmdir, symlink, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { messageOf, RekeydError } from '../errors.ts';
import { codeOf, ignoring, makeFolder, syncFolder, writeDurably } from './files.ts';
import { keySetFiles } from './key-set.ts';
import type { Sink, SinkContents } from './sink.ts';

/** The link that will replace the client's path, kept inside its version folder until then. */
const PENDING = 'pending';

/** A version folder is lost to a neighbour's clean-up only when that neighbour has just delivered, so a few repeats are plenty. */
const ATTEMPTS = 20;

/** @param path the folder that holds `<deployment>/<app-slug>/<oauth_client_id>/`; made when it is not there */
export function directorySink(path: string): Sink {
  const root = resolve(path);
  return {
    name: `directory ${root}`,
    deliver: (contents) => deliver(root, contents),
    check: () => check(root),
  };
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

async function deliver(root: string, contents: SinkContents): Promise<void> {
  const [deployment = '', app = '', client = ''] = contents.ref.split('/').map(encodeSegment);
  const folder = join(root, deployment, app);
  const place: Place = { link: join(folder, client), versions: join(folder, `.${client}`), prefix: `.${client}/` };
  try {
    await makeFolder(folder);
    await refuseForeign(place);
    await makeFolder(place.versions);
    await replaceSet(place, keySetFiles(contents));
    // Whoever left them; a second process may be at work on one of them, see `removeUnlessCurrent`.
    for (const name of await readdir(place.versions)) await removeUnlessCurrent(place, name);
  } catch (error) {
    throw failed(place.link, error);
  }
}

/** Puts a complete version on disk, then swaps it in. The order is the promise: the link never names what a power cut could take away. */
async function replaceSet(place: Place, files: ReadonlyMap<string, string>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const name = randomBytes(8).toString('hex');
    const version = join(place.versions, name);
    try {
      await mkdir(version, 0o700);
      await chmod(version, 0o700);
      // First of all: `removeUnlessCurrent` tells by it whether this version may still be swapped in.
      await symlink(place.prefix + name, join(version, PENDING));
      for (const [file, text] of files) await writeDurably(join(version, file), text);
      await syncFolder(version);
      await syncFolder(place.versions);
      await rename(join(version, PENDING), place.link);
      return await syncFolder(dirname(place.link));
    } catch (error) {
      await removeUnlessCurrent(place, name).catch(() => {}); // the first error is the one that tells
      // Another process delivered meanwhile and took this unfinished version for the remains of a crash.
      if (codeOf(error) !== 'ENOENT' || attempt === ATTEMPTS) throw error;
    }
  }
}

/**
 * Removes a version that is not in use. Another process may be about to swap it in, and must not swap in half a set: so its pending link is
 * taken first. With that gone its rename cannot succeed any more, and it starts again.
 */
async function removeUnlessCurrent(place: Place, name: string): Promise<void> {
  const version = join(place.versions, name);
  const begun = (await ignoring(['ENOENT'], readdir(version))) ?? [];
  await ignoring(['ENOENT'], unlink(join(version, PENDING)));
  // Only now is it settled which version is in use: without its pending link this one never will be, unless it is already.
  if ((await ignoring(['ENOENT'], readlink(place.link))) === place.prefix + name) return;
  // One that has just been begun has no pending link yet that could be taken; it is only removed if it is still empty.
  if (begun.length === 0) await ignoring(['ENOENT', 'ENOTEMPTY'], rmdir(version));
  else await ignoring(['ENOENT', 'ENOTEMPTY'], rm(version, { recursive: true, force: true }));
}

async function refuseForeign({ link, prefix }: Place): Promise<void> {
  const found = await ignoring(['ENOENT'], lstat(link));
  if (found === undefined) return;
  if (found.isSymbolicLink() && (await readlink(link)).startsWith(prefix)) return;
  throw new Error('something that rekeyd did not make stands there already. Move it away');
}

async function check(root: string): Promise<string | null> {
  const probe = join(root, `.check.${randomBytes(8).toString('hex')}`);
  try {
    await makeFolder(root);
    await writeDurably(probe, 'x');
    return null;
  } catch (error) {
    return failed(root, error).message;
  } finally {
    await rm(probe, { force: true }).catch(() => {}); // the answer is the write's
  }
}

/** Percent-encoded (RFC 3986 section 2.1), the leading dots too: no id is "..", and none is a name that rekeyd uses for itself. */
function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(/^\.+/, (dots) => '%2E'.repeat(dots.length));
}

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full: free some space',
  EDQUOT: 'The disk quota is used up: raise it or free some space',
  EACCES: 'Give the user that rekeyd runs as the right to write there',
  EPERM: 'Give the user that rekeyd runs as the right to write there',
  EROFS: 'The file system is read-only: mount it for writing, or set another path',
  ENOTDIR: 'A file stands where a folder is needed: move it away, or set another path',
};

function failed(path: string, error: unknown): RekeydError {
  const hint = HINTS[codeOf(error)] ?? 'Mend that, or set another path for this sink';
  return new RekeydError(
    'sink_failed',
    `Keys cannot be delivered to ${path}: ${messageOf(error)}. Signers keep the set that they have. ${hint}.`,
    { cause: error },
  );
}
