/** Sealing the audit log: who seals, what is sealed, and what is never sealed over in silence. */
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { beginSegment, rewrapSeal, rotateSealKey } from '../../src/audit/by-hand.ts';
import { openSealer, type SealRun, type SealStore, sealProblem } from '../../src/audit/seal.ts';
import type { Verified } from '../../src/audit/verify.ts';
import type { Kek } from '../../src/keys/kek.ts';
import { declareLoss } from '../../src/store/declare.ts';
import { readMarker } from '../../src/store/identity.ts';
import { storeKeys } from '../../src/store/keys.ts';
import type { Store } from '../../src/store/store.ts';
import { type OpenedStore, open, openEmpty, snapshot } from '../store/fixtures.ts';
import { type RedisServer, redisKinds, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { append, exported, grow, KEK, newFolder, sealerOf, verdict } from './sealing.ts';

const keys = storeKeys('rekeyd');
const CAUSE = { actor: 'test', reason: 'by hand' };
const options = (holder: string) => ({ holder, leaseMs: 60_000, keks: [KEK] });

/** What a sealer asks of the store, in this order. */
const STEPS = ['holdSeal', 'sealState', 'sealedSealKey', 'auditAfter', 'settledSize', 'writeCheckpoint'] as const;

/** A sealer that stands still before that step until `late`; and what comes of it then. */
function stoppedAt(step: (typeof STEPS)[number], store: Store, late: Promise<void>) {
  const reached = Promise.withResolvers<void>();
  let isFirst = true;
  const stops: SealStore = new Proxy(store, {
    get(target, name) {
      const own: unknown = Reflect.get(target, name);
      if (name !== step || typeof own !== 'function') return own;
      return async (...args: unknown[]) => {
        reached.resolve();
        if (isFirst) await late;
        isFirst = false;
        return own.apply(target, args);
      };
    },
  });
  return [reached.promise, openSealer(stops, options('killed')).run()] as const;
}

/** How somebody breaks what the next checkpoint begins with; and whether the signing key is still there after it. */
const BREAKS: Readonly<Record<string, readonly [(redis: Redis, store: Store) => Promise<unknown>, boolean]>> = {
  'the last checkpoint is gone': [async (redis, store) => redis.xdel(keys.audit, `${(await last(store)).at}-0`), true],
  'the last checkpoint is another entry': [
    async (redis, store) => replace(redis, (await last(store)).at, (draft) => ({ ...draft, type: 'client.found' })),
    true,
  ],
  'the last checkpoint covers something else': [
    async (redis, store) => {
      const hash = 'a'.repeat(64);
      await replace(redis, (await last(store)).at, (draft) => ({ ...draft, data: { ...draft.data, hash } }));
      await redis.hset(keys.seal, 'hash', hash);
    },
    true,
  ],
  'an entry that is not sealed yet is gone': [
    async (redis, store) => redis.xdel(keys.audit, `${(await last(store)).at + 1}-0`),
    true,
  ],
  'an older state of the seal was put back': [async (redis) => redis.hset(keys.seal, { seq: 5, checkpoint: 6 }), true],
  'the state of the seal is gone': [(redis) => redis.del(keys.seal), false],
  'the signing key is gone': [(redis) => redis.hdel(keys.sealKeys, 'jwe'), false],
  'both are gone': [(redis) => redis.del(keys.seal, keys.sealKeys), false],
  'somebody added a checkpoint': [
    async (redis, store) => {
      const [draft] = (await store.auditTail(100)).filter(({ type }) => type === 'audit.sealed');
      const { seq: _, time: __, ...copy } = draft ?? { seq: 0, time: '' };
      await redis.xadd(keys.audit, `${await redis.incr(keys.auditSize)}-0`, 'at', 1, 'draft', JSON.stringify(copy));
    },
    true,
  ],
  'somebody added a segment': [
    async (redis) => {
      const draft = {
        type: 'store.segment',
        client: null,
        rotation: null,
        actor: '',
        reason: '',
        data: { restart: true },
      };
      await redis.xadd(keys.audit, `${await redis.incr(keys.auditSize)}-0`, 'at', 1, 'draft', JSON.stringify(draft));
    },
    true,
  ],
};

async function last(store: Store): Promise<{ at: number }> {
  return { at: (await store.sealedSize()).checkpointSeq };
}

type Draft = { readonly data: object };

/** Redis takes no entry at a number that it has passed: the whole stream is written anew. */
async function replace(redis: Redis, seq: number, change: (draft: Draft) => object): Promise<void> {
  const entries = await redis.xrange(keys.audit, '-', '+');
  await redis.del(keys.audit);
  for (const [id, [, at = '', , draft = '']] of entries) {
    const text = id === `${seq}-0` ? JSON.stringify(change(JSON.parse(draft))) : draft;
    await redis.xadd(keys.audit, id, 'at', at, 'draft', text);
  }
}

/** An export of the log is verified. */
async function sound(store: Store): Promise<Verified> {
  const found = await verdict(await exported(store));
  if ('problem' in found) throw new Error(found.problem);
  return found;
}

describe.each(redisKinds)('the seal on %s', (kind) => {
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

  it('covers what there is, and says so in the log', async () => {
    const { store } = opened;
    const seal = sealerOf(store);
    expect(await store.auditUnsealed()).toEqual({ entries: 0, sinceMs: 0 });
    await append(store, 7);
    expect(await store.auditUnsealed()).toMatchObject({ entries: 7 });
    // The entry that names the key is sealed too.
    const run = await seal();
    expect(run).toMatchObject({ kind: 'sealed', seq: 8, checkpoint: 9 });
    expect(await store.sealedSize()).toMatchObject({ seq: 8, checkpointSeq: 9 });
    expect(await store.auditUnsealed()).toEqual({ entries: 0, sinceMs: 0 });
    await append(store, 3);
    expect(await store.auditUnsealed()).toMatchObject({ entries: 3 });
    expect(await verdict(await exported(store))).toMatchObject({ first: 1, last: 12, sealed: 8, unsealed: 3 });
    await seal();
    const all = await verdict(await exported(store));
    expect(all).toMatchObject({ last: 13, sealed: 12, unsealed: 0, segments: [] });
  });

  it('writes nothing where nothing but its own checkpoint is new', async () => {
    const { store } = opened;
    const seal = sealerOf(store);
    await grow(store, [3], seal);
    const size = await store.auditSize();
    for (let run = 0; run < 3; run += 1) expect(await seal()).toEqual({ kind: 'nothing' });
    expect(await store.auditSize()).toBe(size);
  });

  describe('two sealers', () => {
    let other: OpenedStore;
    beforeEach(async () => {
      other = await open(server.socketPath);
    });
    afterEach(() => other.close());

    it('make one key, and seal in turn without a fork', async () => {
      const seals = [sealerOf(opened.store, [KEK], 'one'), sealerOf(other.store, [KEK], 'other')];
      const runs: SealRun[] = [];
      for (let round = 0; round < 10; round += 1) {
        await append(opened.store, 3);
        runs.push(...(await Promise.all(seals.map((seal) => seal()))));
        await opened.store.leaveSeal(round % 2 === 0 ? 'one' : 'other');
      }
      expect(runs.filter(({ kind }) => kind === 'sealed').length).toBeGreaterThan(0);
      const { kids, unsealed } = await sound(opened.store);
      expect([kids.length, unsealed]).toEqual([1, 0]);
    });

    it('write no checkpoint on what the other has sealed, whatever their leases say', async () => {
      const { store } = opened;
      await grow(store, [2]);
      await append(store, 2);
      // Both believe that they have the lease: a clock went wrong, or one stood still.
      const both = (own: Store) => openSealer({ ...own, holdSeal: async () => 1 }, options('both')).run();
      await opened.redis.hset(keys.seal, 'fence', 1);
      const size = await store.auditSize();
      const runs = await Promise.all([both(store), both(other.store), both(store), both(other.store)]);
      expect(runs).toContainEqual(expect.objectContaining({ kind: 'sealed' }));
      expect(await store.auditSize()).toBe(size + 1);
      await sound(store);
    });

    it('take over when one is killed at any step, and when it comes back later', async () => {
      const { store } = opened;
      for (const step of STEPS) {
        await append(store, 2);
        await opened.redis.hdel(keys.seal, 'holder');
        const late = Promise.withResolvers<void>();
        const [reached, dead] = stoppedAt(step, store, late.promise);
        await reached;
        // Its lease is over, although the clock of the server went back an hour meanwhile.
        await opened.redis.hset(keys.seal, 'held_at', (await store.now()) + 3_600_000);
        expect(await sealerOf(other.store, [KEK], 'other')(), `killed before ${step}`).toMatchObject({
          kind: 'sealed',
        });
        const size = await store.auditSize();
        late.resolve();
        await dead;
        expect(await store.auditSize(), `comes back to ${step}`).toBe(size);
        await sound(store);
      }
    });

    it('respect a lease, which a gone holder loses', async () => {
      const [one, two] = [opened.store, other.store];
      const fence = await one.holdSeal('one', 60_000);
      expect(await two.holdSeal('two', 60_000)).toBe(0);
      expect(await one.holdSeal('one', 60_000)).toBe(fence);
      await one.leaveSeal('one');
      expect(await two.holdSeal('two', 1)).toBe(fence + 1);
      await until('its time is over', async () => (await one.holdSeal('one', 60_000)) === fence + 2);
    });
  });

  it('is sealed by a key that one command changes, and the old key vouches for the new one', async () => {
    const { store } = opened;
    await grow(store, [4]);
    const first = await rotateSealKey(store, [KEK], CAUSE);
    await grow(store, [4]);
    const second = await rotateSealKey(store, [KEK], CAUSE);
    await append(store, 3);
    const dir = await exported(store);
    const { kids } = await sound(store);
    expect(kids).toEqual([first.before, first.kid, second.kid]);
    const pem = (kid: string) => ({ publicKeys: [join(dir, `audit-key-${kid}.pem`)] });
    expect(await verdict(dir, pem(first.before))).toMatchObject({ kids });
    // Who has a later key alone cannot have sealed what came before.
    expect(await verdict(dir, pem(second.kid))).toMatchObject({ problem: expect.stringMatching(/not the given key/) });
    const [entry] = await store.auditTail(5).then((tail) => tail.filter(({ type }) => type === 'audit.key_rotated'));
    expect(entry).toMatchObject({ actor: 'test', reason: 'by hand', data: { before: second.before, kid: second.kid } });
    expect(await opened.redis.hlen(keys.sealKeys)).toBe(4); // one private half, three public ones
  });

  it('goes on under another KEK, and without its KEK rotations go on alone', async () => {
    const { store } = opened;
    const newer: Kek = { id: 'kek-2', key: new Uint8Array(32).fill(8) };
    await grow(store, [4]);
    await append(store, 1);
    await expect(sealerOf(store, [newer])()).rejects.toMatchObject({ code: 'kek_missing' });
    expect(await sealProblem(store, [newer])).toMatchObject({ code: 'kek_missing' });
    expect(await store.auditUnsealed()).toMatchObject({ entries: 1 });
    expect(await rewrapSeal(store, [newer, KEK])).toBe(true);
    expect(await rewrapSeal(store, [newer]), 'again').toBe(false);
    expect(await sealerOf(store, [newer])()).toMatchObject({ kind: 'sealed' });
    // With another value under its id.
    await append(store, 1);
    const wrong = [{ ...newer, key: new Uint8Array(32).fill(9) }];
    await expect(sealerOf(store, wrong)()).rejects.toMatchObject({ code: 'key_tampered' });
    await sound(store);
  });

  it('goes under the KEK that is wanted also where another process puts its key under another one just before', async () => {
    const { store } = opened;
    const kek = (id: string, byte: number): Kek => ({ id, key: new Uint8Array(32).fill(byte) });
    const [wanted, other] = [kek('kek-2', 8), kek('kek-3', 9)] as const;
    await grow(store, [4]);
    let overtaken = 0;
    const slower: Parameters<typeof rewrapSeal>[0] = {
      sealState: () => store.sealState(),
      sealedSealKey: () => store.sealedSealKey(),
      async replaceSealKey(before, after) {
        if (overtaken === 0) expect(await rewrapSeal(store, [other, KEK])).toBe(true);
        overtaken += 1;
        return store.replaceSealKey(before, after);
      },
    };
    expect(await rewrapSeal(slower, [wanted, other, KEK])).toBe(true);
    expect(overtaken).toBe(2);
    await append(store, 1);
    expect(await sealerOf(store, [wanted])()).toMatchObject({ kind: 'sealed' });

    const never = { ...slower, replaceSealKey: async () => false };
    await expect(rewrapSeal(never, [other, wanted])).rejects.toMatchObject({ code: 'store_conflict' });
  });

  describe.each(Object.entries(BREAKS))('when %s', (_, [breakIt, keepsKey]) => {
    it('stops until a person begins a segment, and says so for ever after', async () => {
      const { store, redis } = opened;
      const seal = sealerOf(store);
      await grow(store, [4, 4], seal);
      await append(store, 3);
      await breakIt(redis, store);
      await expect(seal()).rejects.toMatchObject({ code: 'seal_broken' });
      const size = await store.auditSize();
      await expect(sealerOf(store)()).rejects.toMatchObject({ code: 'seal_broken' });
      expect(await sealProblem(store, [KEK])).toMatchObject({ code: 'seal_broken' });
      expect(await store.auditSize(), 'nothing is written').toBe(size);

      const segment = await beginSegment(store, [KEK], CAUSE);
      expect(segment).toMatchObject({ first: size + 1, keepsKey });
      await expect(beginSegment(store, [KEK], CAUSE)).rejects.toMatchObject({ code: 'usage' });
      expect(await seal()).toMatchObject({ kind: 'sealed' });
      await grow(store, [5], seal);
      const dir = await exported(store, segment.first);
      const seen = await verdict(dir);
      expect(seen).toMatchObject({ first: size + 1, unsealed: 0, segments: [{ first: size + 1, reason: 'by hand' }] });
    });
  });

  it('shows a segment that was declared, in one log with what was sealed before', async () => {
    const { store, redis } = opened;
    await grow(store, [4, 4]);
    await append(store, 3);
    await redis.hdel(keys.seal, 'kid');
    const { first } = await beginSegment(store, [KEK], CAUSE);
    await grow(store, [4]);
    const { segments, kids } = await sound(store);
    expect(segments).toEqual([{ first, reason: 'by hand', unsealed: 3 }]);
    expect(kids).toHaveLength(2);
  });

  it('begins no segment where nothing is broken', async () => {
    await grow(opened.store, [4]);
    await expect(beginSegment(opened.store, [KEK], CAUSE)).rejects.toMatchObject({ code: 'usage' });
  });

  it.each(['rolled back', 'emptied'] as const)('goes on in the segment of a declared loss: %s', async (how) => {
    const dataDir = await newFolder();
    const worker = await open(server.socketPath, { dataDir });
    const { store, redis } = worker;
    try {
      await grow(store, [4, 4]);
      const putBack = await snapshot(redis);
      const old = await exported(store);
      await grow(store, [4]);
      await worker.guard.remember();
      await (how === 'emptied' ? redis.flushall() : putBack());
      await expect(store.append([])).rejects.toMatchObject({ code: 'store_lost' });
      await declareLoss(redis, keys, dataDir, await readMarker(dataDir), CAUSE);
      await worker.guard.check();
      await grow(store, [3, 3]);
      const { segments, last, sealed } = await sound(store);
      expect(segments).toEqual([{ first: how === 'emptied' ? 1 : 12, reason: 'by hand', unsealed: 0 }]);
      expect(last).toBe(sealed + 1);
      const both = await verdict([old, await exported(store)]);
      if (how === 'emptied') expect(both).toMatchObject({ entry: 1, problem: expect.stringContaining('differs') });
      else expect(both).toMatchObject({ sealed });
    } finally {
      await worker.close();
    }
  });
});
