import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, type Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { AuditDraft } from '../../src/core/audit.ts';
import { type ClientRef, makeReference } from '../../src/core/client.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { newServerSide } from '../../src/core/server.ts';
import { NO_TRIES } from '../../src/core/tries.ts';
import { type Guard, openGuard } from '../../src/store/guard.ts';
import { type StoreKeys, storeKeys } from '../../src/store/keys.ts';
import type { Commit, Expected } from '../../src/store/records.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import type { DurabilityOptions } from '../../src/store/redis/durability.ts';
import type { RedisTarget } from '../../src/store/redis/target.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { type RedisKind, type RedisServer, startRedis } from '../support/redis.ts';

export const ref = (id: string): ClientRef => makeReference('185019846023', 'mcp-auth', id);

export function record(client: ClientRef, changes: Partial<ClientRecord> = {}): ClientRecord {
  const observed = {
    id: '1',
    clientId: 'oauth',
    authMethod: 'private_key_jwt',
    alg: 'ES256',
    jwksUri: null,
    keys: [],
    active: true,
    updatedAt: '2026-06-01T00:00:00Z',
  };
  return {
    v: 2,
    ref: client,
    clientId: `oauth-${client}`,
    foundAt: 1,
    enrolment: 'enrolled',
    keys: [],
    former: [],
    rotation: null,
    retirements: [],
    server: newServerSide(observed, 1),
    signers: { delivered: null, tries: NO_TRIES },
    failure: null,
    halted: null,
    ...changes,
  };
}

export function draft(client: ClientRef | null, reason = 'test'): AuditDraft {
  return { type: 'client.found', client, rotation: null, actor: 'test', reason, data: { kids: [], ok: true } };
}

/** The first commit of a client: nothing due, nothing open. */
export function firstCommit(client: ClientRef, changes: Partial<Commit> = {}): Commit {
  return {
    ref: client,
    expected: null,
    record: record(client),
    entries: [draft(client)],
    carried: [],
    ended: [],
    seal: [],
    erase: [],
    dueAt: null,
    seen: '2026-06-01T00:00:00Z',
    open: false,
    durable: false,
    ...changes,
  };
}

/** What a commit has to be built on when nobody has claimed the client. */
export function onTopOf({ op }: { readonly op: string }): Expected {
  return { op, claim: '' };
}

export interface OpenedStore {
  readonly store: Store;
  readonly redis: Redis;
  readonly guard: Guard;
  close(): Promise<void>;
}

export interface OpenOptions extends Partial<DurabilityOptions> {
  /** What a worker on another machine knows of the store; its own folder when absent. */
  readonly dataDir?: string;
  /** Of another namespace than `rekeyd`. */
  readonly keys?: StoreKeys;
  /** Told as {@link openGuard} tells it. */
  readonly onChange?: (problem: Error | null) => void;
  readonly onNotes?: (problem: string | null) => void;
}

export async function open(target: string | RedisTarget, options: OpenOptions = {}): Promise<OpenedStore> {
  const where = typeof target === 'string' ? { socketPath: target } : target;
  const redis = await connectRedis(where, { name: 'store-test', connectTimeout: 20_000 });
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'rekeyd-store-')));
  async function release(guard: Guard | null, store: Store | null): Promise<void> {
    store?.close();
    redis.disconnect();
    await guard?.close();
    if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
  }
  try {
    const guard = await openGuard(redis, { mode: 'strict', keys: storeKeys('rekeyd'), ...options, dataDir });
    const store = openStore(redis, guard);
    return { store, redis, guard, close: () => release(guard, store) };
  } catch (error) {
    await release(null, null);
    throw error;
  }
}

/** The same over a server that holds nothing. */
export async function openEmpty(socketPath: string, options: OpenOptions = {}): Promise<OpenedStore> {
  const redis = await connectRedis({ socketPath }, { name: 'store-test', connectTimeout: 20_000 });
  await redis.flushall();
  redis.disconnect();
  return open(socketPath, options);
}

/** What two workers have open on one server, which is emptied before each test. */
export interface TwoStores {
  readonly server: RedisServer;
  readonly opened: OpenedStore;
  readonly other: OpenedStore;
}

/** For the tests of the suite that calls it; its members are there once a test runs. */
export function twoStores(kind: RedisKind): TwoStores {
  let server: RedisServer;
  let opened: OpenedStore;
  let other: OpenedStore;
  beforeAll(async () => {
    server = await startRedis({ kind });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    opened = await openEmpty(server.socketPath);
    other = await open(server.socketPath);
  });
  afterEach(async () => {
    await opened.close();
    await other.close();
  });
  return {
    get server() {
      return server;
    },
    get opened() {
      return opened;
    },
    get other() {
      return other;
    },
  };
}

/** All keys at one moment, each with what it holds and how long it is kept. */
const DUMP = `
local copies = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  table.insert(copies, {key, math.max(0, redis.call('PTTL', key)), redis.call('DUMP', key)})
end
return copies
`;

/** Copies what the server holds. The returned function puts it back, as a failover to a replica that lags behind does, or a backup: all of it at once. */
export async function snapshot(redis: Redis): Promise<() => Promise<void>> {
  // Without an encoding the replies are bytes.
  const command = new Command('eval', [DUMP, 0], { replyEncoding: null });
  const copies = (await redis.sendCommand(command)) as readonly (readonly [Buffer, number, Buffer])[];
  return async () => {
    const change = redis.multi().flushall();
    for (const [key, ttl, copy] of copies) change.restore(key, ttl, copy);
    await change.exec();
  };
}
