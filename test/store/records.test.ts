import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeReference } from '../../src/core/client.ts';
import type { RotationSummary } from '../../src/core/history.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { type RedisServer, redisKinds, startRedis } from '../support/redis.ts';
import { draft, firstCommit, type OpenedStore, onTopOf, openEmpty, record, ref, snapshot } from './fixtures.ts';

const keys = storeKeys('rekeyd');

function summary(id: string): RotationSummary {
  const when = { startedAt: 1, activeAt: 2, endedAt: 3 };
  const cause = { actor: 'test', reason: 'test', request: null };
  return {
    id,
    ...cause,
    state: 'finished',
    strategy: 'overlap',
    kid: 'new',
    replaces: 'old',
    ...when,
    error: null,
    marks: [],
  };
}

describe.each(redisKinds)('records on %s', (kind) => {
  let server: RedisServer;
  let opened: OpenedStore;
  const alpha = ref('alpha');

  beforeAll(async () => {
    server = await startRedis({ kind });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    opened = await openEmpty(server.socketPath);
  });
  afterEach(() => opened.close());

  it('gives back what was committed, with its version and the time of the server', async () => {
    const { store } = opened;
    const before = await store.now();
    const committed = await store.commit(
      firstCommit(alpha, { record: record(alpha, { failure: 'é "quoted" \u0000' }) }),
    );
    const loaded = await store.load(alpha);
    expect(loaded?.record).toEqual(record(alpha, { failure: 'é "quoted" \u0000' }));
    expect(loaded).toMatchObject({ version: 1, epoch: 0 });
    expect(loaded?.op).toBe(committed.op);
    expect(committed.now).toBeGreaterThanOrEqual(before);
    expect(loaded?.now).toBeGreaterThanOrEqual(committed.now);
  });

  it('knows nothing of a client that was never committed', async () => {
    const { store } = opened;
    await store.commit(firstCommit(alpha));
    expect(await store.load(ref('other'))).toBeNull();
    expect(await store.claim(ref('other'))).toBeNull();
    expect([...(await store.loadMany([alpha, ref('other')])).keys()]).toEqual([alpha]);
    await expect(store.commit(firstCommit(ref('other'), { expected: onTopOf({ op: 'none' }) }))).rejects.toMatchObject({
      code: 'store_conflict',
    });
    expect(await store.load(ref('other'))).toBeNull();
  });

  it('refuses to adopt a known client again', async () => {
    const { store } = opened;
    await store.commit(firstCommit(alpha));
    await expect(store.commit(firstCommit(alpha))).rejects.toMatchObject({ code: 'store_conflict' });
    expect(await store.auditSize()).toBe(1);
  });

  it('lets exactly one of many writers of the same version win, with its entry', async () => {
    const { store } = opened;
    await store.commit(firstCommit(alpha));
    const held = await store.claim(alpha);
    const attempts = Array.from({ length: 20 }, (_, index) =>
      store.commit(
        firstCommit(alpha, { expected: held, entries: [draft(alpha, `writer ${index}`)], durable: index % 2 === 0 }),
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

  it('refuses what is built on a commit that was forgotten, though another has its version', async () => {
    const { store, redis } = opened;
    await store.commit(firstCommit(alpha));
    const worker = await store.claim(alpha);
    const failOver = await snapshot(redis);
    const expected = (op: string) => ({ op, claim: worker?.claim ?? '' });
    const lost = await store.commit(firstCommit(alpha, { expected: worker }));
    await failOver(); // to a primary that never had that commit
    const other = await store.commit(firstCommit(alpha, { expected: worker, entries: [draft(alpha, 'compromised')] }));
    expect(await store.load(alpha)).toMatchObject({ version: 2, op: other.op });

    const next = firstCommit(alpha, { expected: expected(lost.op), seal: [{ thumbprint: 'k', jwe: 'j' }] });
    for (const durable of [false, true]) {
      await expect(store.commit({ ...next, durable })).rejects.toMatchObject({ code: 'store_conflict' });
    }
    expect(await store.confirm(alpha, lost.op)).toBe(false);
    expect(await store.sealedHalf(alpha, 'k')).toBeNull();
    expect((await store.auditTail(5)).map(({ reason }) => reason)).toEqual(['test', 'compromised']);
    expect(await store.confirm(alpha, other.op)).toBe(true);
    await store.commit(firstCommit(alpha, { expected: expected(other.op) }));
  });

  it('fences the worker whose client was claimed by another, and changes nothing', async () => {
    const { store } = opened;
    await store.commit(firstCommit(alpha));
    const stale = await store.claim(alpha);
    const fresh = await store.claim(alpha);
    expect(fresh?.epoch).toBeGreaterThan(stale?.epoch ?? 0);
    await expect(
      store.commit(
        firstCommit(alpha, { expected: stale, seal: [{ thumbprint: 'k', jwe: 'j' }], dueAt: 1, open: true }),
      ),
    ).rejects.toMatchObject({ code: 'store_fenced' });
    expect(await store.sealedHalf(alpha, 'k')).toBeNull();
    expect(await store.due(10, 10)).toEqual([]);
    expect(await store.openWork()).toEqual([]);
    expect(await store.auditSize()).toBe(1);
    await store.commit(firstCommit(alpha, { expected: fresh }));
    expect(await store.load(alpha)).toMatchObject({ version: 2 });
  });

  it('never gives an epoch out twice, even when Redis lost the last claim', async () => {
    const { store, redis } = opened;
    await store.commit(firstCommit(alpha));
    const first = await store.claim(alpha);
    await redis.hset(keys.record(alpha), 'epoch', 0); // as a restart from an older disk would
    const { now = 0 } = first ?? {};
    while ((await store.now()) === now);
    expect((await store.claim(alpha))?.epoch).toBeGreaterThan(first?.epoch ?? 0);
  });

  it('stores, replaces and erases sealed halves with the commit that says so', async () => {
    const { store } = opened;
    const seal = [
      { thumbprint: 'old', jwe: 'jwe-old' },
      { thumbprint: 'new', jwe: 'jwe-new' },
    ];
    const first = await store.commit(firstCommit(alpha, { seal }));
    expect(await store.sealedHalves(alpha)).toEqual(new Map([['old', 'jwe-old'], ['new', 'jwe-new']])); // biome-ignore format: a table
    await store.commit(
      firstCommit(alpha, {
        expected: onTopOf(first),
        erase: ['old', 'never-there'],
        seal: [{ thumbprint: 'third', jwe: 'jwe-3' }],
      }),
    );
    expect([...(await store.sealedHalves(alpha)).keys()].sort()).toEqual(['new', 'third']);
    expect(await store.withKeys([ref('nobody'), alpha])).toEqual([alpha]);
    expect(await store.sealedHalf(alpha, 'old')).toBeNull();
    expect(await store.sealedHalf(alpha, 'new')).toBe('jwe-new');
    expect(await store.auditSize()).toBe(2);
  });

  it('replaces a sealed half only when it is still the one that was read', async () => {
    const { store } = opened;
    await store.commit(firstCommit(alpha, { seal: [{ thumbprint: 'k', jwe: 'one' }] }));
    expect(await store.replaceSealed(alpha, { thumbprint: 'k', oldJwe: 'one', jwe: 'two' }, [])).toBe(true);
    expect(await store.replaceSealed(alpha, { thumbprint: 'k', oldJwe: 'one', jwe: 'three' }, [])).toBe(false);
    expect(await store.replaceSealed(alpha, { thumbprint: 'gone', oldJwe: 'one', jwe: 'two' }, [])).toBe(false);
    expect(await store.sealedHalves(alpha)).toEqual(new Map([['k', 'two']]));
  });

  it('keeps the indexes with the record', async () => {
    const { store } = opened;
    const [b, c] = [ref('b'), ref('c')];
    const first = await store.commit(firstCommit(c, { dueAt: 300, open: true }));
    await store.commit(firstCommit(alpha, { dueAt: 200 }));
    await store.commit(firstCommit(b, { dueAt: 100 }));
    expect(await store.clientRefs()).toEqual([alpha, b, c]);
    expect(await store.clientCount()).toBe(3);
    expect(await store.due(99, 10)).toEqual([]);
    expect(await store.due(200, 10)).toEqual([b, alpha]);
    expect(await store.due(300, 2, 1)).toEqual([alpha, c]);
    expect(await store.openWork()).toEqual([c]);
    await store.commit(firstCommit(c, { expected: onTopOf(first) }));
    await store.setDue(b, null);
    await store.setDue(alpha, 50);
    expect(await store.due(1000, 10)).toEqual([alpha]);
    expect(await store.openWork()).toEqual([]);
  });

  it('knows of many clients at once what was last seen of them', async () => {
    const { store } = opened;
    await store.commit(firstCommit(alpha, { seen: 'one' }));
    const [b, stranger] = [ref('b'), ref('stranger')];
    const first = await store.commit(firstCommit(b, { seen: 'two' }));
    expect(await store.seen([b, stranger, alpha])).toEqual(['two', null, 'one']);
    await store.commit(firstCommit(b, { expected: onTopOf(first), seen: 'three' }));
    await expect(store.commit(firstCommit(b, { expected: onTopOf(first), seen: 'lost' }))).rejects.toThrow();
    expect(await store.seen([b])).toEqual(['three']);
    expect(await store.seen([])).toEqual([]);
  });

  it('counts the clients that schedules leave alone', async () => {
    const { store } = opened;
    const commits = [];
    for (const [index, enrolment] of (['found', 'found', 'held', 'enrolled'] as const).entries()) {
      const client = ref(`${index}`);
      commits.push(await store.commit(firstCommit(client, { record: record(client, { enrolment }) })));
    }
    expect(await store.enrolmentCounts()).toEqual({ clients: 4, found: 2, held: 1 });
    const [first] = commits;
    const held = record(ref('0'), { enrolment: 'held' });
    const second = await store.commit(firstCommit(ref('0'), { record: held, expected: onTopOf(first ?? { op: '' }) }));
    expect(await store.enrolmentCounts()).toEqual({ clients: 4, found: 1, held: 2 });
    await store.commit(firstCommit(ref('0'), { expected: onTopOf(second) }));
    expect(await store.enrolmentCounts()).toEqual({ clients: 4, found: 1, held: 1 });
  });

  it('keeps the last 50 rotations that ended, newest first, beside the record', async () => {
    const { store } = opened;
    // Those that an earlier version kept in the record ended before.
    let last = await store.commit(firstCommit(alpha, { carried: [summary('r0')], ended: [summary('r1')] }));
    for (let index = 2; index < 52; index += 1) {
      last = await store.commit(firstCommit(alpha, { expected: onTopOf(last), ended: [summary(`r${index}`)] }));
    }
    const ids = (await store.history(alpha)).map(({ id }) => id);
    expect(ids).toEqual(Array.from({ length: 50 }, (_, index) => `r${51 - index}`));
    expect(await store.history(ref('other'))).toEqual([]);
  });

  it('lists the clients of one app, page by page', async () => {
    const { store } = opened;
    const others = ['mcp', 'mcp-auth-2', 'mcp-auth0', 'a', 'z'].map((app) => makeReference('185019846023', app, '1'));
    const ours = ['1', '10', '2', 'z'].map(ref);
    for (const one of [...others, ...ours]) await store.commit(firstCommit(one));
    const app = '185019846023/mcp-auth';
    expect(await store.appCount(app)).toBe(ours.length);
    expect(await store.appRefs(app, 3, null)).toEqual(ours.slice(0, 3));
    expect(await store.appRefs(app, 3, ours[2] ?? null)).toEqual(ours.slice(3));
    expect(await store.appRefs(app, 3, ours[3] ?? null)).toEqual([]);
    expect(await store.appCount('185019846023/none')).toBe(0);
    const apps = [...ours, ...others].map((one) => one.slice(0, one.lastIndexOf('/')));
    expect((await store.apps()).sort()).toEqual([...new Set(apps)].sort());
  });

  it('keeps all its keys in one slot and under one name', async () => {
    const { store, redis } = opened;
    await store.commit(
      firstCommit(alpha, {
        seal: [{ thumbprint: 'k', jwe: 'j' }],
        dueAt: 1,
        open: true,
        durable: true,
        ended: [summary('r1')],
      }),
    );
    await store.append([draft(null)]);
    await store.pause('185019846023', 'a test', []);
    const all = await redis.keys('*');
    expect(all.length).toBeGreaterThanOrEqual(10);
    for (const key of all) expect(key).toMatch(/^\{rekeyd\}:store:/);
    expect(all).toContain(keys.audit);
  });

  it('survives kill -9 of the server after a durable commit', async () => {
    const { store } = opened;
    await store.commit(firstCommit(alpha, { seal: [{ thumbprint: 'k', jwe: 'j' }], durable: true }));
    await server.kill();
    const waiting = store.load(alpha);
    await server.restart();
    expect(await waiting).toMatchObject({ version: 1 });
    expect(await store.sealedHalf(alpha, 'k')).toBe('j');
    expect(await store.auditAfter(0, 10)).toMatchObject([{ seq: 1, client: alpha }]);
  });
});
