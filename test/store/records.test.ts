import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeReference } from '../../src/core/client.ts';
import { keys, recordKey } from '../../src/store/keys.ts';
import { type RedisServer, redisKinds, startRedis } from '../support/redis.ts';
import { adoption, draft, type OpenedStore, open, record, ref } from './fixtures.ts';

describe.each(redisKinds)('records on %s', (kind) => {
  let server: RedisServer;
  let opened: OpenedStore;
  const alpha = ref('alpha');

  beforeAll(async () => {
    server = await startRedis({ kind });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    opened = await open(server.socketPath);
    await opened.redis.flushall();
  });
  afterEach(() => opened.close());

  it('gives back what was committed, with its version and the time of the server', async () => {
    const { store } = opened;
    const before = await store.now();
    const committed = await store.commit(
      adoption(alpha, { record: record(alpha, { lastError: 'é "quoted" \u0000' }) }),
    );
    const loaded = await store.load(alpha);
    expect(loaded?.record).toEqual(record(alpha, { lastError: 'é "quoted" \u0000' }));
    expect(loaded).toMatchObject({ version: 1, epoch: 0 });
    expect(committed.version).toBe(1);
    expect(committed.now).toBeGreaterThanOrEqual(before);
    expect(loaded?.now).toBeGreaterThanOrEqual(committed.now);
  });

  it('knows nothing of a client that was never committed', async () => {
    const { store } = opened;
    await store.commit(adoption(alpha));
    expect(await store.load(ref('other'))).toBeNull();
    expect(await store.claim(ref('other'))).toBeNull();
    expect([...(await store.loadMany([alpha, ref('other')])).keys()]).toEqual([alpha]);
    await expect(store.commit(adoption(ref('other'), { expected: { version: 1, epoch: 0 } }))).rejects.toMatchObject({
      code: 'store_conflict',
    });
    expect(await store.load(ref('other'))).toBeNull();
  });

  it('refuses to adopt a known client again', async () => {
    const { store } = opened;
    await store.commit(adoption(alpha));
    await expect(store.commit(adoption(alpha))).rejects.toMatchObject({ code: 'store_conflict' });
    expect(await store.auditSize()).toBe(1);
  });

  it('lets exactly one of many writers of the same version win, with its entry', async () => {
    const { store } = opened;
    await store.commit(adoption(alpha));
    const held = await store.claim(alpha);
    const attempts = Array.from({ length: 20 }, (_, index) =>
      store.commit(
        adoption(alpha, { expected: held, entries: [draft(alpha, `writer ${index}`)], durable: index % 2 === 0 }),
      ),
    );
    const outcomes = await Promise.allSettled(attempts);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'store_conflict' });
    }
    expect(await store.load(alpha)).toMatchObject({ version: 2 });
    expect(await store.auditSize()).toBe(2);
  });

  it('fences the worker whose client was claimed by another, and changes nothing', async () => {
    const { store } = opened;
    await store.commit(adoption(alpha));
    const stale = await store.claim(alpha);
    const fresh = await store.claim(alpha);
    expect(fresh?.epoch).toBeGreaterThan(stale?.epoch ?? 0);
    await expect(
      store.commit(adoption(alpha, { expected: stale, seal: [{ kid: 'k', jwe: 'j' }], dueAt: 1, open: true })),
    ).rejects.toMatchObject({ code: 'store_fenced' });
    expect(await store.sealedKey(alpha, 'k')).toBeNull();
    expect(await store.due(10, 10)).toEqual([]);
    expect(await store.openWork()).toEqual([]);
    expect(await store.auditSize()).toBe(1);
    expect(await store.commit(adoption(alpha, { expected: fresh }))).toMatchObject({ version: 2 });
  });

  it('never gives an epoch out twice, even when Redis lost the last claim', async () => {
    const { store, redis } = opened;
    await store.commit(adoption(alpha));
    const first = await store.claim(alpha);
    await redis.hset(recordKey(alpha), 'epoch', 0); // as a restart from an older disk would
    const { now = 0 } = first ?? {};
    while ((await store.now()) === now);
    expect((await store.claim(alpha))?.epoch).toBeGreaterThan(first?.epoch ?? 0);
  });

  it('stores, replaces and erases sealed keys with the change that says so', async () => {
    const { store } = opened;
    const seal = [
      { kid: 'old', jwe: 'jwe-old' },
      { kid: 'new', jwe: 'jwe-new' },
    ];
    await store.commit(adoption(alpha, { seal }));
    expect(await store.sealedKeys(alpha)).toEqual(new Map([['old', 'jwe-old'], ['new', 'jwe-new']])); // biome-ignore format: a table
    await store.commit(
      adoption(alpha, {
        expected: { version: 1, epoch: 0 },
        erase: ['old', 'never-there'],
        seal: [{ kid: 'third', jwe: 'jwe-3' }],
      }),
    );
    expect([...(await store.sealedKeys(alpha)).keys()].sort()).toEqual(['new', 'third']);
    expect(await store.withKeys([ref('nobody'), alpha])).toEqual([alpha]);
    expect(await store.sealedKey(alpha, 'old')).toBeNull();
    expect(await store.sealedKey(alpha, 'new')).toBe('jwe-new');
    expect(await store.auditSize()).toBe(2);
  });

  it('replaces a sealed key only when it is still the one that was read', async () => {
    const { store } = opened;
    await store.commit(adoption(alpha, { seal: [{ kid: 'k', jwe: 'one' }] }));
    expect(await store.replaceSealed(alpha, 'k', 'one', 'two')).toBe(true);
    expect(await store.replaceSealed(alpha, 'k', 'one', 'three')).toBe(false);
    expect(await store.replaceSealed(alpha, 'gone', 'one', 'two')).toBe(false);
    expect(await store.sealedKeys(alpha)).toEqual(new Map([['k', 'two']]));
  });

  it('keeps the indexes with the record', async () => {
    const { store } = opened;
    const [b, c] = [ref('b'), ref('c')];
    await store.commit(adoption(c, { dueAt: 300, open: true }));
    await store.commit(adoption(alpha, { dueAt: 200 }));
    await store.commit(adoption(b, { dueAt: 100 }));
    expect(await store.clientRefs()).toEqual([alpha, b, c]);
    expect(await store.clientCount()).toBe(3);
    expect(await store.due(99, 10)).toEqual([]);
    expect(await store.due(200, 10)).toEqual([b, alpha]);
    expect(await store.due(300, 2, 1)).toEqual([alpha, c]);
    expect(await store.openWork()).toEqual([c]);
    await store.commit(adoption(c, { expected: { version: 1, epoch: 0 } }));
    await store.setDue(b, null);
    await store.setDue(alpha, 50);
    expect(await store.due(1000, 10)).toEqual([alpha]);
    expect(await store.openWork()).toEqual([]);
  });

  it('knows of many clients at once what was last seen of them', async () => {
    const { store } = opened;
    await store.commit(adoption(alpha, { seen: 'one' }));
    const [b, stranger] = [ref('b'), ref('stranger')];
    await store.commit(adoption(b, { seen: 'two' }));
    expect(await store.seen([b, stranger, alpha])).toEqual(['two', null, 'one']);
    await store.commit(adoption(b, { expected: { version: 1, epoch: 0 }, seen: 'three' }));
    await expect(store.commit(adoption(b, { expected: { version: 1, epoch: 0 }, seen: 'lost' }))).rejects.toThrow();
    expect(await store.seen([b])).toEqual(['three']);
    expect(await store.seen([])).toEqual([]);
  });

  it('lists the clients of one app, page by page', async () => {
    const { store } = opened;
    const others = ['mcp', 'mcp-auth-2', 'mcp-auth0', 'a', 'z'].map((app) => makeReference('185019846023', app, '1'));
    const ours = ['1', '10', '2', 'z'].map(ref);
    for (const one of [...others, ...ours]) await store.commit(adoption(one));
    const app = '185019846023/mcp-auth';
    expect(await store.appCount(app)).toBe(ours.length);
    expect(await store.appRefs(app, 3, null)).toEqual(ours.slice(0, 3));
    expect(await store.appRefs(app, 3, ours[2] ?? null)).toEqual(ours.slice(3));
    expect(await store.appRefs(app, 3, ours[3] ?? null)).toEqual([]);
    expect(await store.appCount('185019846023/none')).toBe(0);
  });

  it('keeps all its keys in one slot and under one name', async () => {
    const { store, redis } = opened;
    await store.commit(adoption(alpha, { seal: [{ kid: 'k', jwe: 'j' }], dueAt: 1, open: true, durable: true }));
    await store.append([draft(null)]);
    await store.pause('185019846023', []);
    const all = await redis.keys('*');
    expect(all.length).toBeGreaterThanOrEqual(8);
    for (const key of all) expect(key).toMatch(/^\{rekeyd\}:store:/);
    expect(all).toContain(keys.audit);
  });

  it('survives kill -9 of the server after a durable commit', async () => {
    const { store } = opened;
    await store.commit(adoption(alpha, { seal: [{ kid: 'k', jwe: 'j' }], durable: true }));
    await server.kill();
    const waiting = store.load(alpha);
    await server.restart();
    expect(await waiting).toMatchObject({ version: 1 });
    expect(await store.sealedKey(alpha, 'k')).toBe('j');
    expect(await store.auditAfter(0, 10)).toMatchObject([{ seq: 1, client: alpha }]);
  });
});
