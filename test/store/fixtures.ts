import type { Redis } from 'ioredis';
import type { AuditDraft } from '../../src/core/audit.ts';
import { type ClientRef, makeReference } from '../../src/core/client.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import type { Change } from '../../src/store/records.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { checkDurability, type DurabilityOptions } from '../../src/store/redis/durability.ts';
import { openStore, type Store } from '../../src/store/store.ts';

export const ref = (id: string): ClientRef => makeReference('185019846023', 'mcp-auth', id);

export function record(client: ClientRef, changes: Partial<ClientRecord> = {}): ClientRecord {
  return {
    v: 1,
    ref: client,
    clientId: `oauth-${client}`,
    adoptedAt: 1,
    keys: [],
    observed: {
      at: 1,
      client: {
        id: '1',
        clientId: 'oauth',
        authMethod: 'private_key_jwt',
        alg: 'ES256',
        jwksUri: null,
        keys: [],
        active: true,
        updatedAt: '2026-06-01T00:00:00Z',
      },
    },
    format: null,
    published: null,
    served: null,
    foreign: [],
    inFlight: null,
    delivered: null,
    rotation: null,
    retiring: [],
    history: [],
    attempts: 0,
    conflicts: 0,
    notBefore: 0,
    lastError: null,
    halted: null,
    ...changes,
  };
}

export function draft(client: ClientRef | null, reason = 'test'): AuditDraft {
  return { type: 'client.adopted', client, rotation: null, actor: 'test', reason, data: { kids: [], ok: true } };
}

/** The first change of a client: adopted, nothing due, nothing open. */
export function adoption(client: ClientRef, changes: Partial<Change> = {}): Change {
  return {
    ref: client,
    expected: null,
    record: record(client),
    entries: [draft(client)],
    dueAt: null,
    seen: '2026-06-01T00:00:00Z',
    open: false,
    durable: false,
    ...changes,
  };
}

export interface OpenedStore {
  readonly store: Store;
  readonly redis: Redis;
  close(): void;
}

export async function open(socketPath: string, options: Partial<DurabilityOptions> = {}): Promise<OpenedStore> {
  const redis = await connectRedis({ socketPath }, { name: 'store-test', connectTimeout: 20_000 });
  const store = openStore(redis, await checkDurability(redis, { mode: 'strict', ...options }));
  return {
    store,
    redis,
    close() {
      store.close();
      redis.disconnect();
    },
  };
}
