/** A folder of key files, each named after its client. */
import type { Dirent } from 'node:fs';
import { opendir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { messageOf } from '../../errors.ts';
import { usage } from '../select.ts';
import type { KeyFile, KeyFiles, Unusable } from './files.ts';

/** A folder with more is another one than was meant. */
const MOST_FILES = 200_000;

/** In a folder that rekeyd delivers to, `<deployment>/<app-slug>/<oauth_client_id>/` is a folder itself, and this is the key in use. */
const DELIVERED = 'current.jwk.json';
const CLIENT_LEVEL = 3;

/** `deployment/app-slug/id.pem`, `deployment%2Fapp-slug%2Fid.pem` or `client_id.pem`. Hidden files are skipped. @throws RekeydError `usage` */
export async function filesOfFolder(dir: string): Promise<KeyFiles> {
  const root = resolve(dir);
  const files: KeyFile[] = [];
  const unusable: Unusable[] = [];

  async function visit(segments: readonly string[]): Promise<void> {
    const place = segments.join('/');
    for (const entry of await entriesOf(join(root, place), place)) {
      const inside = [...segments, entry.name];
      if (!(await isFolder(entry, join(root, ...inside), inside.length))) files.push(keyFile(root, inside));
      else if (inside.length === CLIENT_LEVEL) files.push(keyFile(root, [...inside, DELIVERED]));
      else await visit(inside);
      if (files.length <= MOST_FILES) continue;
      throw usage(`${root} holds more than ${MOST_FILES} files. Name the folder that holds the private keys alone.`);
    }
  }

  /** A folder in it that cannot be read is a finding; the others go on. */
  async function entriesOf(path: string, place: string): Promise<readonly Dirent[]> {
    const entries: Dirent[] = [];
    try {
      for await (const entry of await opendir(path)) if (!entry.name.startsWith('.')) entries.push(entry);
    } catch (error) {
      if (place === '') throw usage(`The folder ${root} cannot be read: ${messageOf(error)}.`);
      unusable.push({ file: place, reason: `the folder cannot be read: ${messageOf(error)}` });
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  await visit([]);
  return { files, unusable };
}

/** Links to folders are followed where a client's own folder may be one. */
async function isFolder(entry: Dirent, path: string, level: number): Promise<boolean> {
  if (!entry.isSymbolicLink() || level < CLIENT_LEVEL) return entry.isDirectory();
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function keyFile(root: string, segments: readonly string[]): KeyFile {
  const shown = segments.join('/');
  return { path: join(root, shown), shown, names: namesIn(segments) };
}

function namesIn(segments: readonly string[]): readonly string[] {
  if (segments.length > CLIENT_LEVEL) return [segments.slice(0, CLIENT_LEVEL).map(decoded).join('/')];
  const folders = segments.slice(0, -1);
  return withoutExtensions(segments.at(-1) ?? '').map((name) => [...folders, name].map(decoded).join('/'));
}

const EXTENSION = /\.(?:pem|key|p8|pk8|pkcs8|jwk|jwks|json|der|priv|private|txt|enc)$/i;

/** `4711.jwk.json`, `4711.jwk`, `4711`: an id may have dots in it. */
function withoutExtensions(name: string): readonly string[] {
  const shorter = name.replace(EXTENSION, '');
  return shorter === name || shorter === '' ? [name] : [name, ...withoutExtensions(shorter)];
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
