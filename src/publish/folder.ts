/** Public JWK Sets as files, for a web server that serves the folder: the target of `jwks_uri`. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import type { ClientRef } from '../core/client.ts';
import type { PublicJwk } from '../core/document.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { codeOf } from '../files/durable.ts';
import { encodeSegment } from '../files/paths.ts';
import { type Failure, openThreads } from '../files/threads.ts';
import type { Task } from './thread.ts';

/** The same file from source and from `dist`. */
const ENTRY = new URL(`thread${extname(import.meta.url)}`, import.meta.url);

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
  /** Takes a set away that a probe wrote; nothing when there is none. */
  remove(ref: ClientRef): Promise<void>;
  /** What is under way may fail. */
  close(): void;
}

/**
 * @param options.path the folder: a set is the file `<path>/<deployment>/<app-slug>/<oauth_client_id>`
 * @param options.baseUrl what the web server serves `path` as
 */
export function publishFolder({ path, baseUrl }: { path: string; baseUrl: string }): PublicFolder {
  const root = resolve(path);
  const base = baseUrl.replace(/\/+$/, '');
  const threads = openThreads<Task, Failure>(ENTRY, 1);
  return {
    // Encoded once more: a web server decodes the URL's path before it looks for the file.
    urlFor: (ref) => [base, ...segmentsOf(ref).map(encodeURIComponent)].join('/'),
    write: async (ref, set) => {
      const path = join(root, ...segmentsOf(ref));
      const text = `${JSON.stringify({ keys: set.keys })}\n`;
      const failure = await threads.run({ path, text }).catch((error: unknown) => ({ message: messageOf(error) }));
      if (failure === null) return;
      throw new RekeydError(
        'publish_failed',
        `The public keys could not be written to ${path}: ${failure.message}. The web server goes on serving the set from before. Mend that folder, or set another.`,
      );
    },
    remove: (ref) => rm(join(root, ...segmentsOf(ref)), { force: true }),
    close: threads.close,
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
    return await readdir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw new RekeydError('publish_failed', `The folder ${folder} cannot be read: ${messageOf(error)}. Mend it.`);
  }
}

/** File names: no id is the name of an unfinished file. */
function segmentsOf(ref: string): string[] {
  return ref.split('/').map(encodeSegment);
}
