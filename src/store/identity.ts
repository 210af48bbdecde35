/** Notices when the store behind the address is not the one that was there before: emptied, restored elsewhere, or swapped. */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { RekeydError } from '../errors.ts';
import { keys } from './keys.ts';
import { text } from './redis/replies.ts';
import { untilAnswered } from './redis/scripts.ts';

interface Marker {
  readonly id: string;
  /** The most clients that this store was seen to hold. */
  readonly clients: number;
}

export interface Identity {
  readonly id: string;
  /** Notes how many clients the store holds by now. Call it after clients were adopted: what is not noted is not missed. */
  remember(): Promise<void>;
}

/**
 * Compares the store with the marker `store.json` in `dataDir`, and gives a new store its id.
 * @throws RekeydError `store_empty` when clients were known before and this store is empty or another one
 */
export async function checkIdentity(redis: Redis, dataDir: string): Promise<Identity> {
  const file = join(dataDir, 'store.json');
  const marker = await readMarker(file);
  const clients = await untilAnswered(() => redis.zcard(keys.clients));
  const found = await untilAnswered(() => redis.get(keys.id));
  if (marker !== null && marker.clients > 0) {
    if (found === null || clients === 0) throw alarm(marker, file, 'is empty');
    if (found !== marker.id) throw alarm(marker, file, `is another one (${found})`);
  }
  const id = found ?? (await makeIdentity(redis));

  async function remember(): Promise<void> {
    const known = await readMarker(file);
    const count = await untilAnswered(() => redis.zcard(keys.clients));
    if (known?.id === id && known.clients >= count) return;
    await writeMarker(dataDir, file, { id, clients: count });
  }
  await remember();
  return { id, remember };
}

/** Of several processes that start at once, one names the store. */
async function makeIdentity(redis: Redis): Promise<string> {
  await untilAnswered(() => redis.set(keys.id, randomUUID(), 'NX'));
  return text(await untilAnswered(() => redis.get(keys.id)));
}

async function readMarker(file: string): Promise<Marker | null> {
  let content: string;
  try {
    content = await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  return parseMarker(content) ?? unreadable(file);
}

function parseMarker(content: string): Marker | null {
  try {
    const parsed: Partial<Record<string, unknown>> | null = JSON.parse(content);
    const { id, clients } = parsed ?? {};
    return typeof id === 'string' && typeof clients === 'number' ? { id, clients } : null;
  } catch {
    return null;
  }
}

/** Never read as "nothing known": that would silence the alarm. */
function unreadable(file: string): never {
  throw new RekeydError(
    'store_empty',
    `${file} cannot be read, so it is not known which store belongs here. If this Redis holds your clients (rekeyd status), remove the file; it is written anew.`,
  );
}

async function writeMarker(dataDir: string, file: string, marker: Marker): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, `${JSON.stringify(marker)}\n`, { mode: 0o600, flush: true });
  await rename(draft, file);
}

function alarm({ id, clients }: Marker, file: string, finding: string): RekeydError {
  return new RekeydError(
    'store_empty',
    `The store ${id} held ${clients} clients and their private keys, but the Redis that answers now ${finding}. Going on would lose those keys. Restore the backup of Redis, or correct redis.url (host and database number). To start afresh on purpose, remove ${file}.`,
  );
}
