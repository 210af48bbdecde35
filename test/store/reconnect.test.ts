import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { commitCall } from '../../src/store/commit-call.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { NO_OTHER, NO_WAITAOF, type RedisServer, redisKinds, startRedis, waitaofKinds } from '../support/redis.ts';
import { draft, firstCommit, type OpenedStore, onTopOf, open, ref } from './fixtures.ts';
import { type LossyProxy, startProxy } from './proxy.ts';

const keys = storeKeys('rekeyd');

describe.each(redisKinds)('when the connection to %s drops', (kind) => {
  const alpha = ref('alpha');
  let dir: string;
  let server: RedisServer;
  let proxy: LossyProxy;
  let opened: OpenedStore;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rekeyd-proxy-'));
    server = await startRedis({ kind });
    proxy = await startProxy(join(dir, 'proxy.sock'), server.socketPath);
    opened = await open(join(dir, 'proxy.sock'), { timeout: 20_000 });
    // Refused, and the server knows the script from then on: what is lost below is lost once.
    await expect(opened.store.commit(firstCommit(alpha, { expected: onTopOf({ op: 'none' }) }))).rejects.toThrow();
  });
  afterEach(async () => {
    await opened.close();
    await proxy.close();
    await server.stop();
    await rm(dir, { recursive: true });
  });

  const touched = () => opened.redis.hget(keys.record(alpha), 'touched');

  it.each([false, true])('a commit whose answer was lost happens once (durable: %s)', async (durable) => {
    const { store } = opened;
    proxy.loseAnswerTo('the-lost-one', 'nothing');
    const committed = await store.commit(firstCommit(alpha, { entries: [draft(alpha, 'the-lost-one')], durable }));
    expect(proxy.drops).toBe(1);
    expect(await store.load(alpha)).toMatchObject({ version: 1, op: committed.op });
    expect(await store.auditSize()).toBe(1);
    expect(await touched()).toBe('1'); // the second time wrote a byte for WAITAOF to cover
  });

  it('a durable commit whose confirmation was lost is sent again together with its confirmation', async (context) => {
    context.skip(waitaofKinds.length === 0, NO_WAITAOF);
    if (!waitaofKinds.includes(kind)) return; // it has no confirmation that could be lost
    const { store, redis } = opened;
    // Nothing reaches the disk: the script answers and WAITAOF still waits when the connection drops.
    await redis.config('SET', 'appendfsync', 'no');
    proxy.loseAnswerTo('the-lost-one', 'all');
    const commit = store.commit(firstCommit(alpha, { entries: [draft(alpha, 'the-lost-one')], durable: true }));
    while ((await touched()) === null);
    await redis.config('SET', 'appendfsync', 'always');
    await commit;
    expect(proxy.drops).toBe(1);
    expect(await store.auditSize()).toBe(1);
  });

  it('a durable commit that is sent again counts only if the server still keeps what it acknowledges', async (context) => {
    context.skip(waitaofKinds.length === redisKinds.length, NO_OTHER);
    if (waitaofKinds.includes(kind)) return; // there WAITAOF says so
    const { store, guard } = opened;
    const operator = await connectRedis({ socketPath: server.socketPath }, { name: 'operator' });
    await operator.config('SET', 'appendfsync', 'everysec');
    proxy.loseAnswerTo('the-lost-one', 'nothing');
    const commit = store.commit(firstCommit(alpha, { entries: [draft(alpha, 'the-lost-one')], durable: true }));
    await expect(commit).rejects.toMatchObject({ code: 'redis_unsafe' });
    expect(guard.expected.size).toBe(0);
    operator.disconnect();
  });

  it('commands of which only some were answered are sent again', async () => {
    const { store } = opened;
    await store.commit(firstCommit(alpha, { seal: [{ thumbprint: 'short-one', jwe: 'j' }] }));
    proxy.loseAnswerTo('short-one', 'half'); // the short answer and a part of the long one
    const [jwe, loaded] = await Promise.all([store.sealedHalf(alpha, 'short-one'), store.load(alpha)]);
    expect(jwe).toBe('j');
    expect(loaded).toMatchObject({ version: 1 });
    expect(proxy.drops).toBe(1);
  });

  it('the answer to a commit sent twice is the first one, and another writer is still refused', async () => {
    const { store, redis, guard } = opened;
    const { lua, keys: own, args } = commitCall(keys, firstCommit(alpha), 'one-op');
    const all = [keys.id, keys.auditSize, ...own];
    const send = () => redis.eval(lua, all.length, ...all, guard.expected.id, 0, ...args);
    const first = await send();
    expect(await send()).toEqual(first);
    expect(await touched()).toBe('1');
    expect(await store.auditSize()).toBe(1);
    await expect(store.commit(firstCommit(alpha))).rejects.toMatchObject({ code: 'store_conflict' });
  });

  it('a lost answer to a pause, its end or an entry does not write it twice', async () => {
    const { store } = opened;
    proxy.loseAnswerTo('first-entry', 'nothing');
    expect(await store.append([draft(null, 'first-entry')])).toBe(1);
    proxy.loseAnswerTo('pause-entry', 'nothing');
    expect(await store.pause('dep', 'a test', [draft(null, 'pause-entry')])).toBe(true);
    proxy.loseAnswerTo('end-entry', 'nothing');
    expect(await store.accepted('dep', [draft(null, 'end-entry')])).toBe(true);
    expect(proxy.drops).toBe(3);
    expect(await store.auditSize()).toBe(3);
  });

  it('a replaced sealed half counts as replaced when the answer was lost', async () => {
    const { store } = opened;
    await store.commit(firstCommit(alpha, { seal: [{ thumbprint: 'k', jwe: 'one' }] }));
    proxy.loseAnswerTo('new-envelope', 'nothing');
    expect(await store.replaceSealed(alpha, { thumbprint: 'k', oldJwe: 'one', jwe: 'new-envelope' }, [])).toBe(true);
    expect(proxy.drops).toBe(1);
  });

  it('work waits while Redis is away and goes on by itself', async () => {
    const { store } = opened;
    await store.commit(firstCommit(alpha, { durable: true }));
    await server.kill();
    const writes = [ref('b'), ref('c')].map((client, index) =>
      store.commit(firstCommit(client, { durable: index === 0 })),
    );
    await server.restart();
    await Promise.all(writes);
    expect(await store.auditSize()).toBe(3);
  });

  it('work waits while Redis stands still', async () => {
    const { store } = opened;
    server.pause();
    const writes = [alpha, ref('b')].map((client, index) =>
      store.commit(firstCommit(client, { durable: index === 0 })),
    );
    server.resume();
    await Promise.all(writes);
    expect(await store.auditSize()).toBe(2);
  });

  it('work waits while a script of somebody else keeps Redis busy', async () => {
    const { store } = opened;
    const target = { socketPath: server.socketPath };
    const [other, operator] = [
      await connectRedis(target, { name: 'other' }),
      await connectRedis(target, { name: 'op' }),
    ];
    onTestFinished(() => void [other.disconnect(), operator.disconnect()]);
    await operator.config('SET', 'lua-time-limit', '10');
    const endless = other.eval('while true do end', 0).catch((error: Error) => error.message);
    const refusal = () => operator.ping().catch((error: Error) => error.message);
    let own = 1;
    while (!(await refusal()).startsWith('BUSY ')); // until then it waits for its turn
    const work = Promise.all([store.auditSize(), store.load(alpha), store.commit(firstCommit(alpha))]);
    const durable = store.commit(firstCommit(ref('b'), { durable: true }));
    for (const _ of Array(20)) own += Number((await refusal()).startsWith('BUSY '));
    await operator.script('KILL');
    expect(await endless).toContain('killed');
    const [, refused] = /errorstat_BUSY:count=(\d+)/.exec(await operator.info('errorstats')) ?? [];
    expect(Number(refused), 'all of it met the refusal').toBeGreaterThanOrEqual(own + 4);
    await Promise.all([work, durable]);
    expect(await store.auditSize()).toBe(2);
  });

  it('what still waits when the store is closed is rejected', async () => {
    const { store, redis } = opened;
    await server.kill();
    const writes = [store.load(alpha), store.commit(firstCommit(alpha, { durable: true }))].map((write) =>
      expect(write).rejects.toMatchObject({ code: 'redis_unreachable' }),
    );
    store.close();
    redis.disconnect();
    await Promise.all(writes);
  });
});
