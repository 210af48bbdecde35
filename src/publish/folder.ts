/** Public JWK Sets as files, for a web server that serves the folder: the target of `jwks_uri`. */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ClientRef } from '../core/client.ts';
import type { PublicJwk } from '../core/document.ts';
import { messageOf, RekeydError } from '../errors.ts';

export interface PublicFolder {
  /** Where the client's JWK Set is found once it is written. */
  urlFor(ref: ClientRef): string;
  /**
   * Replaces the client's JWK Set (RFC 7517 section 5) in one step; on disk when it returns.
   *
   * @throws RekeydError `publish_failed`; the set from before is still served
   */
  write(ref: ClientRef, set: { readonly keys: readonly PublicJwk[] }): Promise<void>;
  /**
   * Looks which clients of an app (`deployment/slug`) it has a set of. What it answers reads the keys in one of them; null when there is none, or none that
   * can be read: the next {@link PublicFolder.write} says what is wrong there.
   *
   * @throws RekeydError `publish_failed` when the app's folder cannot be read
   */
  sets(app: string): Promise<(ref: ClientRef) => Promise<readonly PublicJwk[] | null>>;
}

/**
 * @param options.path the folder: a set is the file `<path>/<deployment>/<app-slug>/<oauth_client_id>`
 * @param options.baseUrl what the web server serves `path` as
 */
export function publishFolder({ path, baseUrl }: { path: string; baseUrl: string }): PublicFolder {
  const root = resolve(path);
  const base = baseUrl.replace(/\/+$/, '');
  return {
    // Encoded once more: a web server decodes the URL's path before it looks for the file.
    urlFor: (ref) => [base, ...segmentsOf(ref).map(encodeURIComponent)].join('/'),
    write: async (ref, set) => {
      const file = join(root, ...segmentsOf(ref));
      try {
        await makeFolder(dirname(file));
        await replaceFile(file, `${JSON.stringify({ keys: set.keys })}\n`);
      } catch (error) {
        throw new RekeydError(
          'publish_failed',
          `The public keys could not be written to ${file}: ${messageOf(error)}. The web server goes on serving the set from before. Mend that folder, or set another.`,
          { cause: error },
        );
      }
    },
    sets: async (app) => {
      const folder = join(root, ...segmentsOf(app));
      const names = new Set(await namesIn(folder));
      return async (ref) => {
        const name = segmentsOf(ref).at(-1) ?? '';
        return names.has(name) ? readFile(join(folder, name), 'utf8').then(keysIn, () => null) : null;
      };
    },
  };
}

function keysIn(text: string): readonly PublicJwk[] | null {
  try {
    const { keys }: { keys?: unknown } = { ...JSON.parse(text) };
    const isSet = Array.isArray(keys) && keys.every((key) => typeof key === 'object' && key !== null);
    return isSet ? keys : null;
  } catch {
    return null;
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder).catch((error: unknown) => unless('ENOENT', error))) ?? [];
  } catch (error) {
    throw new RekeydError('publish_failed', `The folder ${folder} cannot be read: ${messageOf(error)}. Mend it.`);
  }
}

/** File names, percent-encoded, the leading dots too: no id is "..", and none is the name of an unfinished file. */
function segmentsOf(ref: string): string[] {
  return ref
    .split('/')
    .map((segment) => encodeURIComponent(segment).replace(/^\.+/, (dots) => '%2E'.repeat(dots.length)));
}

/** A rename swaps the whole file, so the web server never serves half a set. */
async function replaceFile(path: string, text: string): Promise<void> {
  const unfinished = join(dirname(path), `.${randomBytes(8).toString('hex')}`);
  try {
    const file = await open(unfinished, 'wx', 0o644);
    try {
      await file.chmod(0o644); // readable to the web server whatever the umask
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => {}); // the first error is the one that tells
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Not `mkdir`'s own recursion: it spins for ever where a parent exists and `mkdir` still answers ENOENT, as in /proc. */
async function makeFolder(path: string): Promise<void> {
  const there = await stat(path).catch((error: unknown) => unless('ENOENT', error));
  if (there !== undefined) return;
  await makeFolder(dirname(path));
  await mkdir(path, 0o755).catch((error: unknown) => unless('EEXIST', error)); // another process may have been faster
  await chmod(path, 0o755);
  await syncFolder(dirname(path));
}

function unless(code: string, error: unknown): undefined {
  if (!(error instanceof Error && 'code' in error && error.code === code)) throw error;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
