/** The names that readers open: links through `..data` to the version in force. */
import { readdirSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ignoring, linkTarget } from '../files/durable.ts';

/** A link to the version in force. */
export const DATA = '..data';

function targetOf(name: string): string {
  return `${DATA}/${name}`;
}

export function isLinkOf(folder: string, name: string): boolean {
  return linkTarget(join(folder, name)) === targetOf(name);
}

/** @throws Error `ENOENT` when another process has just removed the name: the delivery begins again */
function isOurs(folder: string, name: string): boolean {
  return ignoring(['EINVAL'], () => readlinkSync(join(folder, name))) === targetOf(name);
}

/**
 * Adds the links that are missing. Called before the set with these names is swapped in: until then a new link leads nowhere, and readers find no file.
 * @throws Error where something else has one of the names: it may be the only copy of a key; `ENOENT` as {@link isOurs}
 */
export function addLinks(folder: string, names: Iterable<string>): void {
  const present = new Map(readdirSync(folder, { withFileTypes: true }).map((entry) => [entry.name, entry]));
  if (present.get(DATA)?.isSymbolicLink() === false) throw inTheWay(folder, DATA);
  const missing: string[] = [];
  for (const name of names) {
    if (!present.has(name)) missing.push(name);
    else if (!isOurs(folder, name)) throw inTheWay(folder, name);
  }
  for (const name of missing) addLink(folder, name);
}

function addLink(folder: string, name: string): void {
  // Another process may have been faster.
  ignoring(['EEXIST'], () => symlinkSync(targetOf(name), join(folder, name)));
  if (!isOurs(folder, name)) throw inTheWay(folder, name);
}

function inTheWay(folder: string, name: string): Error {
  return new Error(`${join(folder, name)} is not a link that rekeyd made. Move it away`);
}
