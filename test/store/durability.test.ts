import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { checkDurability, inspectDurability } from '../../src/store/redis/durability.ts';
import {
  NO_OTHER,
  NO_WAITAOF,
  type RedisServer,
  type RedisSetup,
  redisKinds,
  startRedis,
  waitaofKinds,
} from '../support/redis.ts';
import { firstCommit, open, ref } from './fixtures.ts';

const releases: (() => unknown)[] = [];
afterEach(async () => {
  for (const release of releases.splice(0).reverse()) await release();
});

async function server(setup: RedisSetup): Promise<RedisServer> {
  const started = await startRedis(setup);
  releases.push(() => started.stop());
  return started;
}

async function connected(setup: RedisSetup) {
  const { socketPath } = await server(setup);
  const redis = await connectRedis({ socketPath }, { name: 'test', connectTimeout: 20_000 });
  releases.push(() => redis.disconnect());
  return redis;
}

async function opened(setup: RedisSetup, options: { readonly timeout: number; readonly replicas?: number }) {
  const { socketPath } = await server(setup);
  const store = await open(socketPath, options);
  releases.push(() => store.close());
  return store;
}

const [withIt] = waitaofKinds;
const without = redisKinds.find((kind) => !waitaofKinds.includes(kind));

interface Case {
  readonly server: 'with WAITAOF' | 'without it';
  readonly setup: RedisSetup;
  /** What strict mode finds, or the resources of its refusal. */
  readonly strict: 'waitaof' | 'always' | readonly string[];
  readonly relaxed: 'waitaof' | 'always' | 'none';
}

const withoutConfig = { settings: ['--rename-command', 'CONFIG', 'forbidden'] };
const cases: readonly Case[] = [
  { server: 'with WAITAOF', setup: { appendfsync: 'always' }, strict: 'waitaof', relaxed: 'waitaof' },
  { server: 'with WAITAOF', setup: { appendfsync: 'everysec' }, strict: 'waitaof', relaxed: 'waitaof' },
  {
    server: 'with WAITAOF',
    setup: { appendfsync: 'no' },
    strict: ['CONFIG SET appendfsync everysec'],
    relaxed: 'none',
  },
  { server: 'with WAITAOF', setup: { appendonly: 'no' }, strict: ['CONFIG SET appendonly yes,'], relaxed: 'none' },
  { server: 'with WAITAOF', setup: withoutConfig, strict: 'waitaof', relaxed: 'waitaof' },
  { server: 'without it', setup: { appendfsync: 'always' }, strict: 'always', relaxed: 'always' },
  {
    server: 'without it',
    setup: { appendfsync: 'everysec' },
    strict: ['CONFIG SET appendfsync always'],
    relaxed: 'none',
  },
  { server: 'without it', setup: withoutConfig, strict: ['CONFIG is forbidden'], relaxed: 'none' },
  {
    server: 'without it',
    setup: { appendonly: 'no', maxmemoryPolicy: 'allkeys-lru' },
    strict: ['appendonly yes and CONFIG SET appendfsync always', 'CONFIG SET maxmemory-policy noeviction'],
    relaxed: 'none',
  },
];

it.for(cases)(
  'a server $server, with $setup, is judged by what it keeps',
  async ({ server, setup, strict, relaxed }, test) => {
    const kind = server === 'with WAITAOF' ? withIt : without;
    if (kind === undefined) return test.skip(server === 'with WAITAOF' ? NO_WAITAOF : NO_OTHER);
    const redis = await connected({ kind, ...setup });
    const judged = checkDurability(redis, { mode: 'strict' });
    if (typeof strict === 'string') {
      expect(await judged).toMatchObject({ kind: strict });
      expect((await inspectDurability(redis)).every(({ ok, fix }) => ok && fix === null)).toBe(true);
    } else {
      const error: unknown = await judged.catch((refused: unknown) => refused);
      expect(error).toMatchObject({ code: 'redis_unsafe' });
      for (const part of strict) expect(String(error)).toContain(part);
      expect((await inspectDurability(redis)).some(({ ok, fix }) => !ok && fix !== null)).toBe(true);
    }
    expect(await checkDurability(redis, { mode: 'relaxed' })).toMatchObject({ kind: relaxed });
  },
);

it('refuses a replica, also when relaxed', async () => {
  const primary = await server({});
  const redis = await connected({ settings: ['--replicaof', '127.0.0.1', primary.url.replace(/.*:/, '')] });
  await expect(checkDurability(redis, { mode: 'relaxed' })).rejects.toMatchObject({ code: 'redis_unsafe' });
});

describe('a durable commit, confirmed by WAITAOF', () => {
  const alpha = ref('alpha');
  const kind = withIt ?? 'valkey';
  beforeEach(({ skip }) => skip(withIt === undefined, NO_WAITAOF));

  it('shares its WAITAOF with the others of its turn', async () => {
    const { store, redis } = await opened({ kind, appendfsync: 'everysec' }, { timeout: 20_000 });
    const clients = Array.from({ length: 30 }, (_, index) => ref(`c${index}`));
    await store.commit(firstCommit(alpha)); // the server knows the script from then on
    await Promise.all(clients.map((client) => store.commit(firstCommit(client, { durable: true }))));
    const calls = /cmdstat_waitaof:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1];
    expect(calls).toBe('1');
    expect(await store.clientCount()).toBe(31);
  });

  it('resolves only once it is on disk', async () => {
    const { store, redis } = await opened({ kind, appendfsync: 'everysec' }, { timeout: 60_000 });
    await redis.config('SET', 'appendfsync', 'no'); // nothing reaches the disk from now on
    let resolved = false;
    const commit = store.commit(firstCommit(alpha, { durable: true })).then(() => {
      resolved = true;
    });
    while ((await store.load(alpha)) === null);
    expect(resolved).toBe(false);
    await redis.config('SET', 'appendfsync', 'everysec');
    await commit;
    expect(resolved).toBe(true);
  });

  it('is refused as not durable when the disk does not follow, though it was written', async () => {
    const { store, redis } = await opened({ kind, appendfsync: 'everysec' }, { timeout: 50 });
    await redis.config('SET', 'appendfsync', 'no');
    await expect(store.commit(firstCommit(alpha, { durable: true }))).rejects.toMatchObject({ code: 'not_durable' });
    const loaded = await store.load(alpha);
    if (loaded === null) throw new Error('not written');
    const change = firstCommit(alpha, { expected: loaded, durable: true });
    await redis.config('SET', 'appendfsync', 'always');
    await store.commit(change);
    expect(await store.load(alpha)).toMatchObject({ version: 2 });
  });

  it('is refused when persistence was switched off under way', async () => {
    const { store, redis } = await opened({ kind }, { timeout: 50 });
    await redis.config('SET', 'appendonly', 'no');
    await expect(store.commit(firstCommit(alpha, { durable: true }))).rejects.toMatchObject({ code: 'not_durable' });
  });

  it('that lost its scripts is confirmed after it was sent again', async () => {
    const { store, redis } = await opened({ kind, appendfsync: 'always' }, { timeout: 20_000 });
    await store.commit(firstCommit(ref('a'), { durable: true }));
    await redis.script('FLUSH');
    const beside = redis.duplicate();
    releases.push(() => beside.disconnect());
    const monitor = await beside.monitor();
    releases.push(() => monitor.disconnect());
    const seen: string[] = [];
    const last = Promise.withResolvers<void>();
    monitor.on('monitor', (_time, [name]: string[], source) => {
      if (source === 'lua' || name === undefined) return;
      seen.push(name.toLowerCase());
      if (name.toLowerCase() === 'ping') last.resolve();
    });
    await store.commit(firstCommit(ref('b'), { durable: true }));
    await redis.ping();
    await last.promise;
    expect(seen).toEqual(['evalsha', 'waitaof', 'eval', 'waitaof', 'ping']);
  });
});

it.each(redisKinds)('on %s, fewer replicas than configured are not enough', async (kind) => {
  const { store } = await opened({ kind }, { replicas: 1, timeout: 50 });
  await expect(store.commit(firstCommit(ref('alpha'), { durable: true }))).rejects.toMatchObject({
    code: 'not_durable',
  });
});
