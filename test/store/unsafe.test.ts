/** A Redis that stops keeping what it acknowledges, or stops being the primary, while a worker runs. */
import type { Redis } from 'ioredis';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { type RedisServer, redisKinds, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { firstCommit, type OpenedStore, open, ref } from './fixtures.ts';

const alpha = ref('alpha');

interface Change {
  readonly what: string;
  readonly make: (operator: Redis) => Promise<unknown>;
  readonly undo: (operator: Redis) => Promise<unknown>;
  /** What the error says. */
  readonly says: RegExp;
}

const CHANGES: readonly Change[] = [
  {
    what: 'may throw keys away',
    make: (operator) => operator.config('SET', 'maxmemory-policy', 'allkeys-lru'),
    undo: (operator) => operator.config('SET', 'maxmemory-policy', 'noeviction'),
    says: /allkeys-lru.*CONFIG SET maxmemory-policy noeviction/,
  },
  {
    what: 'keeps nothing on disk',
    make: (operator) => operator.config('SET', 'appendonly', 'no'),
    undo: (operator) => operator.config('SET', 'appendonly', 'yes'),
    says: /appendonly is off.*CONFIG SET appendonly yes/,
  },
  {
    what: 'never says when a write is on disk',
    make: (operator) => operator.config('SET', 'appendfsync', 'no'),
    undo: (operator) => operator.config('SET', 'appendfsync', 'always'),
    says: /appendfsync is no.*CONFIG SET appendfsync/,
  },
  {
    what: 'follows another primary',
    make: (operator) => operator.call('REPLICAOF', '127.0.0.1', '1'),
    undo: (operator) => operator.call('REPLICAOF', 'NO', 'ONE'),
    says: /this is a replica/,
  },
];

describe.each(redisKinds)('a %s', (kind) => {
  let server: RedisServer;
  let worker: OpenedStore;
  /** Another connection, which nobody cuts. */
  let operator: Redis;
  let told: (string | null)[];

  beforeEach(async () => {
    server = await startRedis({ kind });
    onTestFinished(() => server.stop());
    told = [];
    worker = await open(server.socketPath, { onChange: (problem) => void told.push(problem?.message ?? null) });
    onTestFinished(() => worker.close());
    operator = await connectRedis({ socketPath: server.socketPath }, { name: 'operator' });
    onTestFinished(() => operator.disconnect());
  });

  async function reconnect(): Promise<void> {
    const id = await worker.redis.client('ID');
    await operator.client('KILL', 'ID', id);
    await until('the worker is connected again', async (saw) => saw(await worker.redis.client('ID')) !== id);
  }

  it.each(CHANGES)('that $what is found out after a reconnect: nothing is written', async ({ make, undo, says }) => {
    const { store, guard } = worker;
    await make(operator);
    await reconnect();
    await until('it is found out', () => guard.problem);
    expect(guard.problem).toMatchObject({ code: 'redis_unsafe', message: expect.stringMatching(says) });
    for (const durable of [false, true]) {
      await expect(store.commit(firstCommit(alpha, { durable }))).rejects.toMatchObject({ code: 'redis_unsafe' });
    }
    await undo(operator);
    await reconnect();
    await until('it is found out', (saw) => saw(guard.problem) === null);
    await store.commit(firstCommit(alpha, { durable: true }));
    expect(told).toEqual([expect.stringMatching(says), null]);
    expect(await store.auditSize()).toBe(1);
  });

  it.each(CHANGES)('that $what is found out by upkeep, without a reconnect', async ({ make, undo, says }) => {
    const { store, guard } = worker;
    await make(operator);
    await expect(guard.check()).rejects.toMatchObject({ code: 'redis_unsafe', message: expect.stringMatching(says) });
    await expect(store.load(alpha)).rejects.toMatchObject({ code: 'redis_unsafe' });
    await undo(operator);
    await guard.check();
    expect(await store.load(alpha)).toBeNull();
  });

  it('that is restarted as it was is worked with at once', async () => {
    const { store, guard } = worker;
    await store.commit(firstCommit(alpha, { durable: true }));
    await server.kill();
    const waiting = store.commit(firstCommit(ref('beta'), { durable: true }));
    await server.restart();
    await waiting;
    expect(guard.problem).toBeNull();
    expect(told).toEqual([]);
  });
});
