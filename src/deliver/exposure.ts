/** Looks for private keys that more users can read, or replace, than the config says. */
import { type Dirent, promises } from 'node:fs';
import { join } from 'node:path';
import type { Access } from '../files/access.ts';
import { canBeEntered, canBeReplacedIn, isReadableByOthers } from '../files/exposure.ts';
import { DATA } from './links.ts';

/** How many clients' folders are looked at: a mistake is seldom in one folder alone. */
const MOST_CLIENTS = 1_000;

/** How many findings are reported. */
const MOST_TOLD = 5;

export interface Exposed {
  readonly path: string;
  readonly why: string;
}

/** @param root absolute; one that is not there exposes nothing */
export async function exposedIn(root: string, { mode }: Pick<Access, 'mode'>): Promise<readonly Exposed[]> {
  const found: Exposed[] = [];
  if (await canBeReplacedIn(root)) found.push({ path: root, why: REPLACEABLE });
  // Others cannot read what lies in a folder that they cannot enter.
  const isOpen = await canBeEntered(root);
  if (isOpen && (await isReadableByOthers(root))) found.push({ path: root, why: 'other users can list it' });
  let looked = 0;
  for await (const client of clientsIn(root)) {
    looked += 1;
    if (looked > MOST_CLIENTS || found.length >= MOST_TOLD) break;
    if (await canBeReplacedIn(client)) found.push({ path: client, why: REPLACEABLE });
    // Where the config itself lets others read the keys, the check of the config warns of it.
    if (isOpen && (mode & 0o004) === 0) found.push(...(await readableKeysIn(client)));
  }
  return found.slice(0, MOST_TOLD);
}

const REPLACEABLE = 'others than its owner can replace what is in it';

/** `<deployment>/<app>/<client>`, as they come. */
async function* clientsIn(root: string): AsyncIterable<string> {
  for (const deployment of await foldersIn(root)) {
    for (const app of await foldersIn(deployment)) yield* await foldersIn(app);
  }
}

async function foldersIn(path: string): Promise<readonly string[]> {
  const entries: Dirent[] = await promises.readdir(path, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => join(path, name));
}

async function readableKeysIn(client: string): Promise<readonly Exposed[]> {
  const set = join(client, DATA);
  const names = await promises.readdir(set).catch((): string[] => []);
  const found: Exposed[] = [];
  for (const name of names) {
    const path = join(client, name);
    if (/\.(?:jwk\.json|pem)$/.test(name) && (await isReadableByOthers(path))) {
      found.push({ path, why: 'other users can read this private key' });
    }
  }
  return found;
}
