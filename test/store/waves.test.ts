/** The waves of a policy: begun once, counted once, and the same for all workers and after a restart. */
import { describe, expect, it } from 'vitest';
import type { WaveOutcome } from '../../src/core/wave.ts';
import { commitCall } from '../../src/store/commit-call.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { redisKinds, startRedis } from '../support/redis.ts';
import { draft, firstCommit, onTopOf, openEmpty, ref, twoStores } from './fixtures.ts';

const POLICY = 'default';
const W1 = { policy: POLICY, id: 'w1' };
const W2 = { policy: POLICY, id: 'w2' };
const SIZE = { found: 40, first: 2 };
const [A, B, C, D] = [ref('1'), ref('2'), ref('3'), ref('4')];
const STOPPED = { ...draft(null, 'one failed'), type: 'policy.stopped' } as const;
const RESUMED = { ...draft(null, 'seen'), type: 'policy.resumed' } as const;

describe.each(redisKinds)('waves on %s', (kind) => {
  const workers = twoStores(kind);

  const waveNow = async () => (await workers.opened.store.wave(POLICY))?.wave ?? null;
  const types = async () => (await workers.opened.store.auditAfter(0, 100)).map(({ type }) => type);

  /** A commit of a client in which a rotation of a wave comes to that. */
  async function count(client: typeof A, outcome: WaveOutcome['outcome'], wave = W1): Promise<void> {
    const before = await workers.opened.store.load(client);
    const expected = before === null ? null : onTopOf(before);
    await workers.opened.store.commit(firstCommit(client, { expected, counted: { wave, outcome } }));
  }

  it('are begun once, whichever worker begins them, and each policy has its own', async () => {
    expect(await waveNow()).toBeNull();
    await Promise.all([
      workers.opened.store.beginWave(W1, SIZE),
      workers.other.store.beginWave(W2, { found: 99, first: 9 }),
    ]);
    const wave = await waveNow();
    expect(await workers.other.store.wave(POLICY)).toMatchObject({ wave: wave ?? {} });
    const empty = { chosen: 0, waiting: 0, active: 0, failed: 0, forgiven: 0, why: null };
    const isFirst = wave?.id === 'w1';
    expect(wave).toMatchObject({ ...empty, phase: 'cohort', ...(isFirst ? SIZE : { found: 99, first: 9 }) });
    expect(await workers.opened.store.wave('payments')).toBeNull();
  });

  it('choose no larger cohort than they were begun with, whichever worker chooses, and no client twice', async () => {
    await workers.opened.store.beginWave(W1, SIZE);
    await Promise.all([workers.opened.store.chooseFirst(W1, [A, B]), workers.other.store.chooseFirst(W1, [C, D])]);
    expect(await waveNow()).toMatchObject({ chosen: 2, waiting: 2 });
    const chosen = await workers.opened.store.waitingFirst(POLICY);
    expect([[A, B].join(), [C, D].join()]).toContain(chosen.join());
    expect(await workers.opened.store.chooseFirst(W1, [A, B, C, D])).toBe(2);
    expect(await workers.opened.store.waitingFirst(POLICY)).toEqual(chosen);
    expect(await workers.opened.store.chooseFirst(W2, [A]), 'another wave').toBe(2);
  });

  it('count what rotations come to with the commit that says so, and once', async () => {
    await workers.opened.store.beginWave(W1, { found: 40, first: 3 });
    await workers.opened.store.chooseFirst(W1, [A, B, C]);
    await count(A, 'active');
    await count(A, 'active');
    expect(await waveNow()).toMatchObject({ waiting: 2, active: 1, failed: 0 });
    await count(B, 'failed');
    await count(B, 'failed');
    expect(await waveNow()).toMatchObject({ waiting: 1, active: 1, failed: 1 });
    expect(await workers.opened.store.failedOf(POLICY)).toEqual([B]);
    // A client of the rest: its failure counts, and its success says nothing of the cohort.
    await count(D, 'active');
    expect(await waveNow()).toMatchObject({ waiting: 1, active: 1, failed: 1 });
    await count(D, 'failed');
    expect(await waveNow()).toMatchObject({ waiting: 1, active: 1, failed: 2 });
    await count(C, 'failed', W2);
    expect(await waveNow(), 'of another wave').toMatchObject({ waiting: 1, failed: 2 });
  });

  it('count a commit once that is sent twice, and beside the answer to a request', async () => {
    await workers.opened.store.beginWave(W1, SIZE);
    await workers.opened.store.chooseFirst(W1, [A]);
    const counted = { wave: W1, outcome: 'active' } as const;
    const change = firstCommit(A, { counted, answers: { request: 'asked', rotation: 'r1' } });
    const { lua, keys, args } = commitCall(storeKeys('rekeyd'), change, 'one-op');
    const all = ['{rekeyd}:store:id', '{rekeyd}:store:audit:size', ...keys];
    const { id, size } = workers.opened.guard.expected;
    for (const _ of [1, 2]) await workers.opened.redis.eval(lua, all.length, ...all, id, size, ...args);
    expect(await waveNow()).toMatchObject({ waiting: 0, active: 1 });
    expect(await workers.opened.store.answered('asked')).toBe('r1');
  });

  it('wait for no client that leaves them', async () => {
    await workers.opened.store.beginWave(W1, SIZE);
    await workers.opened.store.chooseFirst(W1, [A, B]);
    await workers.opened.store.leaveWave(W2, [A]);
    await workers.opened.store.leaveWave(W1, [B, C]);
    expect(await waveNow()).toMatchObject({ chosen: 2, waiting: 1, active: 0, failed: 0 });
  });

  it('stop once, with one entry, and stay as they are until somebody resumes them', async () => {
    await workers.opened.store.beginWave(W1, SIZE);
    await workers.opened.store.chooseFirst(W1, [A, B]);
    await count(A, 'failed');
    const stops = [workers.opened, workers.other].map(({ store }) => store.stopWave(W1, 'one failed', [STOPPED]));
    expect((await Promise.all(stops)).filter(Boolean)).toHaveLength(1);
    expect(await workers.opened.store.stopWave(W2, 'another', [STOPPED])).toBe(false);
    expect(await types()).toEqual(['client.found', 'policy.stopped']);
    expect(await waveNow()).toMatchObject({ phase: 'stopped', why: 'one failed' });
    expect(await workers.opened.store.follow(W1)).toBe(false);
    await workers.opened.store.endWave(W1);
    await workers.opened.store.beginWave(W2, SIZE);
    expect(await waveNow()).toMatchObject({ id: 'w1', phase: 'stopped' });

    const resumes = [workers.opened, workers.other].map(({ store }) => store.resumeWave(POLICY, [RESUMED]));
    expect((await Promise.all(resumes)).filter(Boolean)).toHaveLength(1);
    expect(await types()).toEqual(['client.found', 'policy.stopped', 'policy.resumed']);
    expect(await waveNow()).toMatchObject({ phase: 'rest', failed: 1, forgiven: 1, why: null });
    expect(await workers.opened.store.resumeWave(POLICY, [RESUMED]), 'it is not stopped').toBe(false);
    expect(await workers.opened.store.stopWave(W1, 'two failed', [STOPPED])).toBe(true);
  });

  it('are over when all is begun, and leave nothing to the next one', async () => {
    await workers.opened.store.beginWave(W1, SIZE);
    await workers.opened.store.chooseFirst(W1, [A, B]);
    await count(A, 'failed');
    expect(await workers.opened.store.follow(W1)).toBe(true);
    expect(await workers.opened.store.follow(W2), 'another wave').toBe(false);
    await workers.opened.store.endWave(W2);
    expect(await waveNow()).toMatchObject({ phase: 'rest' });
    await workers.opened.store.endWave(W1);
    expect(await waveNow()).toBeNull();
    expect(await workers.opened.redis.keys('*:wave:*')).toEqual([]);
    await workers.opened.store.beginWave(W2, SIZE);
    await count(A, 'failed');
    expect(await waveNow()).toMatchObject({ id: 'w2', chosen: 0, waiting: 0, failed: 0 });
  });

  it('are not resumed where there are none', async () => {
    expect(await workers.opened.store.resumeWave(POLICY, [RESUMED])).toBe(false);
    expect(await types()).toEqual([]);
  });
});

describe('a wave whose Redis is killed', () => {
  it('stands as it was: what was begun, and that it stopped', async () => {
    const server = await startRedis();
    try {
      const opened = await openEmpty(server.socketPath);
      await opened.store.beginWave(W1, SIZE);
      await opened.store.chooseFirst(W1, [A, B]);
      await opened.store.stopWave(W1, 'one failed', [STOPPED]);
      await server.kill();
      await server.restart();
      expect(await opened.store.wave(POLICY)).toMatchObject({ wave: { id: 'w1', phase: 'stopped', chosen: 2 } });
      await opened.close();
    } finally {
      await server.stop();
    }
  });
});
