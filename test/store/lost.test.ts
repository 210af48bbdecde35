/** A store that is emptied, replaced or rolled back under a worker, and how work goes on after that. */
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { declareLoss } from '../../src/store/declare.ts';
import { readMarker } from '../../src/store/identity.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { PRELUDE } from '../../src/store/lua/prelude.ts';
import type { Expected } from '../../src/store/records.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { type RedisServer, redisKinds, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { draft, firstCommit, type OpenedStore, open, openEmpty, ref, snapshot } from './fixtures.ts';

const keys = storeKeys('rekeyd');

const CAUSE = { actor: 'test', reason: 'the disk is gone' };
const [alpha, beta] = [ref('alpha'), ref('beta')];
const PAUSE = { scope: { all: true }, ...CAUSE, at: 1, until: null } as const;
/** Texts beside the scripts. */
const NO_SCRIPTS = ['PRELUDE', 'OTHER_STORE', 'ROLLED_BACK'];
const DAMAGES = ['emptied', 'replaced', 'rolled back'] as const;

describe.each(redisKinds)('the store of a worker on %s', (kind) => {
  let server: RedisServer;
  let worker: OpenedStore;
  let dir: string;
  let told: (string | null)[];
  let held: Expected;
  /** Puts back what there was before the last commit that is known to be on disk. */
  let rollBack: () => Promise<void>;
  let restore: () => Promise<void>;

  beforeAll(async () => {
    server = await startRedis({ kind });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rekeyd-lost-'));
    onTestFinished(() => rm(dir, { recursive: true }));
    told = [];
    const onChange = (problem: Error | null) => void told.push(problem?.message ?? null);
    worker = await openEmpty(server.socketPath, { dataDir: dir, onChange });
    onTestFinished(() => worker.close());
    const { store, redis, guard } = worker;
    await store.commit(firstCommit(alpha, { seal: [{ thumbprint: 'k', jwe: 'j' }] }));
    const claimed = await store.claim(alpha);
    rollBack = await snapshot(redis);
    const { op } = await store.commit(firstCommit(alpha, { expected: claimed, durable: true }));
    held = { op, claim: claimed?.claim ?? '' };
    restore = await snapshot(redis);
    await guard.remember();
  });

  async function damage(how: (typeof DAMAGES)[number], redis: Redis = worker.redis): Promise<void> {
    if (how === 'rolled back') return rollBack();
    await redis.flushall();
    if (how === 'emptied') return;
    const other = await open(server.socketPath);
    await other.store.commit(firstCommit(alpha, { entries: [draft(alpha), draft(alpha), draft(alpha)] }));
    await other.close();
  }

  const everything = (store: Store): readonly (readonly [name: string, run: () => Promise<unknown>])[] => {
    const commit = firstCommit(beta);
    return [
      ['load', () => store.load(alpha)],
      ['loadMany', () => store.loadMany([alpha])],
      ['claim', () => store.claim(alpha)],
      ['a new client', () => store.commit(commit)],
      ['a new client, durably', () => store.commit({ ...commit, durable: true })],
      ['a commit', () => store.commit(firstCommit(alpha, { expected: held }))],
      ['confirm', () => store.confirm(alpha, held.op)],
      ['replaceSealed', () => store.replaceSealed(alpha, { thumbprint: 'k', oldJwe: 'j', jwe: 'new' }, [])],
      ['setDue', () => store.setDue(alpha, 1)],
      ['answer', () => store.answer({ request: 'ask', rotation: 'r' })],
      ['append', () => store.append([draft(null)])],
      ['take', () => store.take('dep', { max: 1, perMs: 1 }, true)],
      ['throttle', () => store.throttle('dep', 1, [draft(null)])],
      ['pause', () => store.pause('dep', 'why', [draft(null)])],
      ['turnedDown', () => store.turnedDown('dep', 'client', 'limited')],
      ['accepted', () => store.accepted('dep', [draft(null)])],
      ['takePausedBefore', () => store.takePausedBefore('dep')],
      ['beginPause', () => store.beginPause(PAUSE, [draft(null)])],
      ['endPause', () => store.endPause(PAUSE.scope, [draft(null)])],
      ['takeKey', () => store.takeKey('mine', { body: 'b', request: 'r' })],
      ['keepAnswer', () => store.keepAnswer('r', '{}')],
    ];
  };

  it.each(DAMAGES)('is refused by every script once it was %s, and stays as it is', async (how) => {
    await damage(how);
    const left = await snapshotText(worker.redis);
    for (const [name, run] of everything(worker.store)) {
      const error: unknown = await run().catch((refused: unknown) => refused);
      expect(error, name).toMatchObject({ code: 'store_lost' });
    }
    expect(await snapshotText(worker.redis)).toEqual(left);
    expect(worker.guard.problem?.message).toMatch(/Restore the backup of Redis.*`rekeyd store declare-loss`/);
    expect(told).toEqual([worker.guard.problem?.message]);
    expect(await readMarker(dir)).toMatchObject({ id: worker.guard.expected.id, size: 2 });
  });

  it.each([
    ['emptied', 'REKEYD_OTHER'],
    ['replaced', 'REKEYD_OTHER'],
    ['rolled back', 'REKEYD_BEHIND'],
  ] as const)('that was %s is refused by each script by itself (%s)', async (how, word) => {
    const { expected, durability } = worker.guard;
    // A guard that has not looked: what stands between a script and the wrong store is the script.
    const trusting: Parameters<typeof openStore>[1] = {
      keys,
      expected,
      durability,
      ready: async () => {},
      refused: async (error) => {
        throw error;
      },
      doubt: async () => false,
      confirmed: () => {},
    };
    const store = openStore(worker.redis, trusting);
    onTestFinished(() => store.close());
    await damage(how);
    for (const [name, run] of everything(store)) await expect(run(), name).rejects.toThrow(word);
  });

  it.each(DAMAGES)('that was %s in the middle of a check is found out by that check', async (how) => {
    const { redis, guard } = worker;
    const ask = redis.lrange.bind(redis);
    const asked = vi.spyOn(redis, 'lrange').mockImplementationOnce(async (...args) => {
      const answer = await ask(...args); // with the id and the size of the log, which are asked for together
      await damage(how);
      return answer;
    });
    onTestFinished(() => asked.mockRestore());
    await expect(guard.check()).rejects.toMatchObject({ code: 'store_lost' });
    expect(told).toEqual([expect.stringContaining('declare-loss')]);
  });

  it.each(DAMAGES)('that was %s and is restored is worked with again', async (how) => {
    const { store, guard } = worker;
    await damage(how);
    await expect(store.load(alpha)).rejects.toMatchObject({ code: 'store_lost' });
    await restore();
    let recoveries = 0;
    guard.onRecovery(() => {
      recoveries += 1;
    });
    await guard.check(); // as upkeep does
    expect(guard.problem).toBeNull();
    await guard.check();
    expect(recoveries).toBe(1);
    expect(told).toEqual([expect.any(String), null]);
    await store.commit(firstCommit(alpha, { expected: held, durable: true }));
  });

  it.each(DAMAGES)('that was %s goes on after somebody declares the loss, everywhere', async (how) => {
    const elsewhere = await open(server.socketPath);
    onTestFinished(() => elsewhere.close());
    await elsewhere.guard.remember();
    const before = worker.guard.expected.id;
    const recovered: string[] = [];
    for (const { guard } of [worker, elsewhere]) guard.onRecovery(() => recovered.push(guard.expected.id));
    await damage(how);
    await expect(worker.store.load(alpha)).rejects.toMatchObject({ code: 'store_lost' });
    const id = await declareLoss(elsewhere.redis, keys, dir, await readMarker(dir), CAUSE);
    await worker.guard.check();
    // This one has not noticed anything yet, and need not.
    expect(await elsewhere.store.load(beta)).toBeNull();
    for (const { store, guard } of [worker, elsewhere]) {
      expect(store.id).toBe(id);
      expect(guard.problem).toBeNull();
    }
    expect(id).not.toBe(before);
    expect(recovered).toEqual([id, id]);
    await worker.store.commit(firstCommit(beta, { durable: true }));
    const [segment] = (await worker.store.auditTail(2)).filter(({ type }) => type === 'store.segment');
    expect(segment).toMatchObject({ ...CAUSE, client: null, data: { store: id, lost: before, lost_size: 2 } });
  });

  it('is not declared lost when it is not', async () => {
    const { redis, store } = worker;
    await expect(declareLoss(redis, keys, dir, await readMarker(dir), CAUSE)).rejects.toMatchObject({ code: 'usage' });
    await expect(declareLoss(redis, keys, dir, null, CAUSE)).rejects.toMatchObject({ code: 'usage' });
    expect(await store.load(alpha)).toMatchObject({ version: 2 });
    expect(await store.auditSize()).toBe(2);
  });

  it('is declared lost once, however many do so', async () => {
    await damage('replaced');
    const marker = await readMarker(dir);
    const declared = await Promise.allSettled(
      Array.from({ length: 5 }, () => declareLoss(worker.redis, keys, dir, marker, CAUSE)),
    );
    expect(declared.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of declared) {
      if (outcome.status === 'rejected')
        expect(outcome.reason).toMatchObject({ code: expect.stringMatching(/usage|store_conflict/) });
    }
    expect(await worker.redis.get(keys.auditSize)).toBe('4');
  });

  it('may forget what was never known to be on disk', async () => {
    const { store, redis } = worker;
    const crash = await snapshot(redis);
    await store.commit(firstCommit(beta));
    expect(await store.auditSize()).toBe(3);
    await crash();
    expect(await store.load(beta)).toBeNull();
    await store.commit(firstCommit(beta, { durable: true }));
  });

  it('is written down as far as any process of the machine knows', async () => {
    const beside = await open(server.socketPath, { dataDir: dir });
    await worker.store.commit(firstCommit(beta, { durable: true }));
    await beside.store.commit(firstCommit(ref('c'), { durable: true }));
    await beside.guard.remember();
    await worker.close();
    expect(await readMarker(dir)).toMatchObject({ clients: 3, size: 4 });
    await beside.close();
    expect(await readMarker(dir)).toMatchObject({ clients: 3, size: 4 });
  });

  it('is known by every worker of the machine, also by one that wrote nothing', async () => {
    const idle = await open(server.socketPath, { dataDir: dir });
    onTestFinished(() => idle.close());
    const crash = await snapshot(worker.redis);
    await worker.store.commit(firstCommit(beta, { durable: true }));
    await worker.guard.remember();
    await crash();
    await expect(idle.guard.check()).rejects.toThrow(
      /was rolled back: its audit log ends at entry 2, and entry 3 was written/,
    );
  });

  it('is written down by itself after a burst, although the last entries come within a second', async () => {
    const { store } = worker;
    for (const client of ['c', 'd', 'e'].map(ref)) await store.commit(firstCommit(client, { durable: true }));
    await until('the marker is there', async (saw) => saw(await readMarker(dir))?.size === 5);
  });

  it('is written down again after it could not be', async () => {
    const file = join(dir, 'store.json');
    await rm(file, { force: true });
    await mkdir(file);
    await worker.store.commit(firstCommit(beta, { durable: true }));
    await expect(worker.guard.remember()).rejects.toThrow();
    await rm(file, { recursive: true });
    await worker.guard.remember();
    expect(await readMarker(dir)).toMatchObject({ size: 3 });
  });

  it('is written down when the worker stops, as far as its log was known to be on disk', async () => {
    const { store, close } = worker;
    for (const client of ['c', 'd', 'e'].map(ref)) await store.commit(firstCommit(client, { durable: true }));
    await store.commit(firstCommit(beta));
    await close();
    expect(JSON.parse(await readFile(join(dir, 'store.json'), 'utf8'))).toMatchObject({ size: 5 });
  });
});

it('each script of the store begins with the check of which store it is', async () => {
  const lua = join(import.meta.dirname, '../../src/store/lua');
  const files = (await readdir(lua)).map((name): Promise<Record<string, unknown>> => import(join(lua, name)));
  const texts = (await Promise.all(files)).flatMap((file) => Object.entries(file));
  const scripts = texts.filter(([name, text]) => typeof text === 'string' && !NO_SCRIPTS.includes(name));
  expect(scripts.length).toBeGreaterThan(60);
  for (const [name, text] of scripts) expect(String(text).startsWith(PRELUDE), name).toBe(true);
});

/** All that a server holds, as text, without the times at which keys expire. */
async function snapshotText(redis: Redis): Promise<Record<string, string>> {
  const held: Record<string, string> = {};
  for (const key of (await redis.keys('*')).sort()) held[key] = (await redis.dumpBuffer(key))?.toString('hex') ?? '';
  return held;
}
