/**
 * Notices when the store behind the address is not the one that was there before: emptied, replaced, or rolled back. Each worker keeps in `data_dir` which
 * store it works with and how far its audit log was, as far as that is known to be on disk.
 */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { RekeydError } from '../errors.ts';
import { inDataDir } from '../files/data-dir.ts';
import { codeOf } from '../files/durable.ts';
import { ensureFolder } from '../files/folder.ts';
import { replaceFile } from '../files/replace.ts';
import type { StoreKeys } from './keys.ts';
import { type NamespaceFound, storeFinder } from './namespaces.ts';
import { untilAnswered } from './redis/evaluate.ts';
import { integer, text } from './redis/replies.ts';

/** What this machine remembers of its store. */
export interface Marker {
  readonly id: string;
  /** The most clients that it was seen to hold. */
  readonly clients: number;
  /** The highest number of an audit entry that was known to be on disk there. */
  readonly size: number;
}

/** What the Redis that answers holds. */
export interface StoreFacts {
  /** Null: it is new, or was emptied. */
  readonly id: string | null;
  readonly clients: number;
  readonly size: number;
  /** Stores that were declared as lost, and that this one replaces. */
  readonly predecessors: readonly string[];
}

export async function readFacts(redis: Redis, keys: StoreKeys): Promise<StoreFacts> {
  const [id, clients, size, predecessors] = await Promise.all([
    untilAnswered(() => redis.get(keys.id)),
    untilAnswered(() => redis.zcard(keys.clients)),
    untilAnswered(() => redis.get(keys.auditSize)),
    untilAnswered(() => redis.lrange(keys.predecessors, 0, -1)),
  ]);
  return { id, clients, size: integer(size ?? 0), predecessors };
}

/** Why the store may not be worked with, or null. A store that replaced a declared loss counts as the same. */
export function whyLost(marker: Marker | null, facts: StoreFacts): string | null {
  if (marker === null || (marker.clients === 0 && marker.size === 0)) return null;
  if (facts.id === null) return 'is empty';
  if (facts.id !== marker.id) {
    return facts.predecessors.includes(marker.id) ? null : `is another one (${facts.id})`;
  }
  if (facts.size >= marker.size) return null;
  return `was rolled back: its audit log ends at entry ${facts.size}, and entry ${marker.size} was written before`;
}

/** What a person can do about a loss. @param where the namespace of this Redis that holds the lost store, when there is one */
export function waysOn(where: NamespaceFound | null): string {
  if (where !== null)
    return `That store is in namespace ${where.namespace} of this Redis, with its clients: write namespace: ${where.namespace} in the config, or give the new namespace a data_dir of its own.`;
  return 'Restore the backup of Redis, or correct redis.url (host and database number) or namespace. If it cannot be restored, `rekeyd store declare-loss` takes what is there as the truth: clients that it does not know are found again.';
}

/** @param where as {@link waysOn} */
export function lost(marker: Marker, why: string, keys: StoreKeys, where: NamespaceFound | null): RekeydError {
  const clients = marker.clients === 1 ? '1 client' : `${marker.clients} clients`;
  return new RekeydError(
    'store_lost',
    `The store ${marker.id} held ${clients} and their private keys, but namespace ${keys.namespace} of the Redis that answers now ${why}. Nothing is taken in, delivered or sent. ${waysOn(where)}`,
  );
}

/** The namespace of this Redis that holds the lost store now; null when there is none. A store that was rolled back did not move. */
export async function whereNow(
  redis: Redis,
  marker: Marker | null,
  { id }: StoreFacts,
): Promise<NamespaceFound | null> {
  return marker === null || marker.id === id ? null : storeFinder(redis)(marker.id);
}

/** Of several processes that start at once, one names the store. */
export async function nameStore(redis: Redis, keys: StoreKeys): Promise<string> {
  await untilAnswered(() => redis.set(keys.id, randomUUID(), 'NX'));
  return text(await untilAnswered(() => redis.get(keys.id)));
}

/** The higher of two markers of one store. */
export function furthest(marker: Marker, other: Marker | null): Marker {
  if (marker.id !== other?.id) return marker;
  return { ...marker, clients: Math.max(marker.clients, other.clients), size: Math.max(marker.size, other.size) };
}

function markerFile(dataDir: string): string {
  return join(dataDir, 'store.json');
}

/** @throws RekeydError `store_lost` when there is one that cannot be read: taken for "nothing known", it would silence the alarm */
export async function readMarker(dataDir: string): Promise<Marker | null> {
  const file = markerFile(dataDir);
  const content = await inDataDir(dataDir, () =>
    readFile(file, 'utf8').catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return null;
      throw error;
    }),
  );
  if (content === null) return null;
  const marker = parseMarker(content);
  if (marker !== null) return marker;
  throw new RekeydError(
    'store_lost',
    `${file} cannot be read, so it is not known which store belongs here. If this Redis holds your clients (rekeyd status), remove the file; it is written anew.`,
  );
}

function parseMarker(content: string): Marker | null {
  try {
    const parsed: Partial<Record<string, unknown>> | null = JSON.parse(content);
    const { id, clients, size = 0 } = parsed ?? {};
    return typeof id === 'string' && typeof clients === 'number' && typeof size === 'number'
      ? { id, clients, size }
      : null;
  } catch {
    return null;
  }
}

export async function writeMarker(dataDir: string, marker: Marker): Promise<void> {
  await inDataDir(dataDir, async () => {
    await ensureFolder(dataDir, 0o700);
    await replaceFile(markerFile(dataDir), `${JSON.stringify(marker)}\n`, 0o600);
  });
}
