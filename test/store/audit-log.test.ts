import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RedisServer, redisKinds, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { draft, firstCommit, type OpenedStore, onTopOf, open, openEmpty, ref, snapshot } from './fixtures.ts';

describe.each(redisKinds)('the audit log on %s', (kind) => {
  let server: RedisServer;
  let opened: OpenedStore;

  beforeAll(async () => {
    server = await startRedis({ kind });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    opened = await openEmpty(server.socketPath);
  });
  afterEach(() => opened.close());

  it('is empty at first', async () => {
    expect(await opened.store.auditSize()).toBe(0);
    expect(await opened.store.auditTail(5)).toEqual([]);
    expect(await opened.store.auditAfter(0, 5)).toEqual([]);
  });

  it('tells those who go on later only of entries that nothing takes back unnoticed', async () => {
    const { store, redis } = opened;
    const putBack = await snapshot(redis);
    await store.append([draft(ref('alpha'), 'told')]);
    expect(await store.settledAfter(0, 5)).toMatchObject([{ seq: 1, reason: 'told' }]);
    expect(await store.settledSize()).toBe(1);
    await putBack();
    await expect(store.append([draft(ref('alpha'), 'of the same number')])).rejects.toMatchObject({
      code: 'store_lost',
    });
  });

  it('tells them what was on disk before while Redis takes no writes', async () => {
    const { store, redis } = opened;
    await store.append([draft(ref('alpha'), 'first')]);
    expect(await store.settledAfter(0, 5)).toHaveLength(1);
    await store.append([draft(ref('alpha'), 'second')]);
    await redis.config('SET', 'min-replicas-to-write', '1');
    try {
      expect(await store.settledAfter(0, 5)).toMatchObject([{ reason: 'first' }]);
    } finally {
      await redis.config('SET', 'min-replicas-to-write', '0');
    }
    await until('the second is there', async () => (await store.settledAfter(0, 5)).length === 2);
  });

  it('gives entries back as drafted, with number and time', async () => {
    const { store } = opened;
    const before = await store.now();
    const entry = draft(ref('alpha'), 'é "why"');
    expect(await store.append([entry])).toBe(1);
    const [read] = await store.auditTail(1);
    expect(read).toEqual({ ...entry, seq: 1, time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) });
    const time = Date.parse(read?.time ?? '');
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(await store.now());
  });

  it('numbers the entries of 20 concurrent writers without gaps, each change in one piece', async () => {
    const { store } = opened;
    const others = await Promise.all(Array.from({ length: 4 }, () => open(server.socketPath)));
    const stores = [store, ...others.map((other) => other.store)];
    await Promise.all(
      Array.from({ length: 20 }, async (_, writer) => {
        const through = stores[writer % stores.length] ?? store;
        const client = ref(`client-${writer}`);
        const entries = [draft(client, '1'), draft(client, '2')];
        let last = await through.commit(firstCommit(client, { entries, durable: writer % 2 === 0 }));
        for (let round = 1; round < 10; round += 1) {
          const expected = onTopOf(last);
          last = await through.commit(firstCommit(client, { expected, entries, durable: writer % 3 === 0 }));
        }
      }),
    );
    for (const other of others) await other.close();
    expect(await store.auditSize()).toBe(400);
    const all = [...(await store.auditAfter(0, 250)), ...(await store.auditAfter(250, 250))];
    expect(all.map(({ seq }) => seq)).toEqual(Array.from({ length: 400 }, (_, index) => index + 1));
    for (let index = 0; index < all.length; index += 2) {
      expect(all[index]?.client).toBe(all[index + 1]?.client);
      expect([all[index]?.reason, all[index + 1]?.reason]).toEqual(['1', '2']);
    }
    expect((await store.auditTail(2)).map(({ seq }) => seq)).toEqual([399, 400]);
  });

  it('has one entry for what is told twice under one name', async () => {
    const { store } = opened;
    expect(await store.append([draft(null, 'first')], 'told')).toBe(1);
    expect(await store.append([draft(null, 'second')], 'told')).toBe(1);
    expect(await store.append([draft(null, 'third')], 'told too')).toBe(2);
    expect((await store.auditTail(5)).map(({ reason }) => reason)).toEqual(['first', 'third']);
  });
});
