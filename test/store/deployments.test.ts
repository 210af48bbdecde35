/** The API budget, the pauses and the throttles of a deployment: one place for all workers. */
import { describe, expect, it } from 'vitest';
import { storeKeys } from '../../src/store/keys.ts';
import { redisKinds } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { draft, twoStores } from './fixtures.ts';

const keys = storeKeys('rekeyd');

const DEP = 'dep';
const PLENTY = { max: 1000, perMs: 1_000 };
/** Two calls at once, then none for an hour. */
const SCARCE = { max: 2, perMs: 7_200_000 };

describe.each(redisKinds)('deployments on %s', (kind) => {
  const workers = twoStores(kind);

  const state = async () => (await workers.opened.store.deploymentStates([DEP])).get(DEP);
  /** Lets that much time pass for the deployment, in ms. */
  async function age(ms: number): Promise<void> {
    const held = await workers.opened.redis.hgetall(keys.deployment(DEP));
    for (const field of ['at', 'until', 'urgent_at', 'try_at', 'next'])
      if (held[field] !== undefined) await workers.opened.redis.hincrbyfloat(keys.deployment(DEP), field, -ms);
    const refused = (held.refused ?? '').replace(/@(\d+)/g, (_, at) => `@${Number(at) - ms}`);
    if (refused !== '') await workers.opened.redis.hset(keys.deployment(DEP), 'refused', refused);
  }

  it('share one budget among all workers', async () => {
    const turns = [];
    for (const { store } of [workers.opened, workers.other, workers.opened, workers.other])
      turns.push(await store.take(DEP, SCARCE, false));
    expect(turns.map(({ go }) => go)).toEqual([true, true, false, false]);
    expect(turns.at(-1)).toMatchObject({ because: 'budget', forMs: expect.any(Number) });
    expect(await workers.opened.store.take('another', SCARCE, false)).toEqual({
      go: true,
      isWatched: false,
      isTry: false,
    });
    await age(SCARCE.perMs / 2);
    expect(await workers.opened.store.take(DEP, SCARCE, false)).toMatchObject({ go: true });
    expect(await workers.opened.store.take(DEP, SCARCE, false)).toMatchObject({ go: false });
  });

  it('tell how much of the budget is spent, and change nothing by that', async () => {
    const { store } = workers.opened;
    expect(await store.spentPart(DEP, SCARCE)).toBe(0);
    await store.take(DEP, SCARCE, false);
    for (let time = 0; time < 3; time += 1)
      expect(await workers.other.store.spentPart(DEP, SCARCE)).toBeCloseTo(0.5, 2);
    await age(SCARCE.perMs / 4);
    expect(await store.spentPart(DEP, SCARCE)).toBeCloseTo(0.25, 2);
    // What is urgent takes from what comes later: there is no more than all of it.
    for (let call = 0; call < 3; call += 1) await store.spend(DEP, SCARCE);
    expect(await store.spentPart(DEP, SCARCE)).toBe(1);
  });

  it('give something urgent its turn at once, and let the rest wait for it', async () => {
    for (let call = 0; call < 3; call += 1) await workers.opened.store.take(DEP, SCARCE, false);
    expect(await workers.opened.store.take(DEP, SCARCE, true)).toMatchObject({ go: true });
    await age(SCARCE.perMs / 2);
    expect(await workers.opened.store.take(DEP, SCARCE, false)).toMatchObject({ go: false, because: 'budget' });
    await age(SCARCE.perMs);
    expect(await workers.opened.store.take(DEP, SCARCE, false)).toMatchObject({ go: true });
  });

  it('are paused once, with one entry, for a reason; and the first call that is taken ends it, with one entry', async () => {
    const { store } = workers.opened;
    const pauses = [1, 2, 3].map((index) => store.pause(DEP, `401 number ${index}`, [draft(null, `pause ${index}`)]));
    expect((await Promise.all(pauses)).filter(Boolean)).toHaveLength(1);
    expect(await state()).toEqual({ paused: '401 number 1', throttledUntil: null });
    expect(await store.auditSize()).toBe(1);
    const ends = await Promise.all(
      [store, workers.other.store].map((one) => one.accepted(DEP, [draft(null, 'resume')])),
    );
    expect(ends.filter(Boolean)).toHaveLength(1);
    expect(await state()).toEqual({ paused: null, throttledUntil: null });
    expect(await store.auditSize()).toBe(2);
    expect(await store.take(DEP, PLENTY, false)).toEqual({ go: true, isWatched: false, isTry: false });
    expect(await store.pause(DEP, 'again', [draft(null, 'again')])).toBe(true);
  });

  it('are tried while paused, more rarely each time, and by one worker at a time', async () => {
    const { store } = workers.opened;
    await store.pause(DEP, '401', []);
    const waits: number[] = [];
    for (let attempt = 0; attempt < 6; attempt += 1) {
      const held = await store.take(DEP, PLENTY, false);
      if (held.go) throw new Error('not paused');
      expect(held.because).toBe('paused');
      waits.push(Math.round(held.forMs / 1_000));
      await age(held.forMs);
      expect(await store.take(DEP, PLENTY, false)).toEqual({ go: true, isWatched: true, isTry: true });
      expect(await workers.other.store.take(DEP, PLENTY, false)).toMatchObject({ go: false });
    }
    expect(waits).toEqual([5, 10, 20, 40, 60, 60]);
  });

  it('tell what is urgent when its next turn is, and not when all is over', async () => {
    const { store } = workers.opened;
    await store.throttle(DEP, 60_000, []);
    for (const because of ['throttled', 'paused']) {
      if (because === 'paused') await store.pause(DEP, '401', []);
      else await age(1_000);
      if (because === 'paused') expect((await store.take(DEP, PLENTY, true)).go).toBe(true);
      const turn = await store.take(DEP, PLENTY, true);
      if (turn.go) throw new Error('it should wait');
      expect(turn.because).toBe(because);
      expect(turn.forMs).toBeGreaterThan(3_000);
      expect(turn.forMs).toBeLessThanOrEqual(5_000);
    }
  });

  it('are not tried while they ask to be left alone, although they are paused', async () => {
    const { store } = workers.opened;
    await store.pause(DEP, '401', []);
    await store.throttle(DEP, 60_000, []);
    await age(30_000);
    expect(await store.take(DEP, PLENTY, false)).toMatchObject({ go: false, because: 'paused' });
    await age(30_000);
    expect(await store.take(DEP, PLENTY, false)).toMatchObject({ go: true, isTry: true });
  });

  it('count calls that have to be made now, and let the rest wait for them', async () => {
    const { store } = workers.opened;
    await store.spend(DEP, SCARCE);
    await store.spend(DEP, SCARCE);
    expect(await store.take(DEP, SCARCE, false)).toMatchObject({ go: false, because: 'budget' });
    // Debts end where the bucket is as deep.
    for (let call = 0; call < 10; call += 1) await workers.other.store.spend(DEP, SCARCE);
    await age(2 * SCARCE.perMs);
    expect(await store.take(DEP, SCARCE, false)).toMatchObject({ go: true });
  });

  it('remember for some days how clients are looked at', async () => {
    expect(await workers.opened.store.lookedBy(DEP)).toBeNull();
    await workers.opened.store.noteLookedBy(DEP, 'list');
    expect(await workers.other.store.lookedBy(DEP)).toBe('list');
    await workers.opened.redis.hincrbyfloat(keys.deployment(DEP), 'look_at', -8 * 86_400_000);
    expect(await workers.other.store.lookedBy(DEP)).toBeNull();
  });

  it('keep the first domain that was told of an app', async () => {
    expect(await workers.opened.store.firstDomain(DEP, 'app', 'a.example')).toBe('a.example');
    expect(await workers.other.store.firstDomain(DEP, 'app', 'b.example')).toBe('a.example');
    expect(await workers.other.store.firstDomain(DEP, 'other', 'b.example')).toBe('b.example');
  });

  it('have the list of an app read for a fiftieth of the time', async () => {
    const { store } = workers.opened;
    expect(await store.listRest(DEP, 'app')).toBe(0);
    // A second at first, however it is made up.
    await store.noteList(DEP, 'app', 900);
    expect(await workers.other.store.listRest(DEP, 'app')).toBe(0);
    await store.noteList(DEP, 'app', 3_000);
    const rest = await workers.other.store.listRest(DEP, 'app');
    expect(rest).toBeGreaterThan(140_000);
    expect(rest).toBeLessThanOrEqual(145_000);
    expect(await store.listRest(DEP, 'other')).toBe(0);
  });

  it('let one urgent call through a pause or a throttle now and then', async () => {
    const { store } = workers.opened;
    await store.pause(DEP, '401', []);
    expect(await store.take(DEP, PLENTY, true)).toEqual({ go: true, isWatched: true, isTry: true });
    expect(await workers.other.store.take(DEP, PLENTY, true)).toMatchObject({ go: false, because: 'paused' });
    await store.accepted(DEP, []);
    await store.throttle(DEP, 3_600_000, []);
    expect(await store.take(DEP, PLENTY, true)).toMatchObject({ go: false, because: 'throttled' });
    await age(5_000);
    expect(await store.take(DEP, PLENTY, false)).toMatchObject({ go: false, because: 'throttled' });
    expect(await store.take(DEP, PLENTY, true)).toEqual({ go: true, isWatched: true, isTry: true });
    expect(await workers.other.store.take(DEP, PLENTY, true)).toMatchObject({ go: false, because: 'throttled' });
  });

  it('are left alone as long as they ask; one entry tells of it, and one call tries first', async () => {
    const { store } = workers.opened;
    expect(await store.throttle(DEP, 60_000, [draft(null, 'throttled')])).toBe(true);
    expect(await workers.other.store.throttle(DEP, 30_000, [draft(null, 'throttled')])).toBe(false);
    expect(await store.auditSize()).toBe(1);
    const until = (await state())?.throttledUntil ?? 0;
    expect(until - (await store.now())).toBeGreaterThan(30_000);
    expect(await store.take(DEP, SCARCE, false)).toMatchObject({ go: false, because: 'throttled' });
    await age(60_000);
    expect(await state()).toEqual({ paused: null, throttledUntil: null });
    expect([(await store.take(DEP, SCARCE, false)).go, (await store.take(DEP, SCARCE, false)).go]).toEqual([
      true,
      false,
    ]);
  });

  it('count as refused when the PATCHes of three clients in a row were, not one client again and again', async () => {
    const { store } = workers.opened;
    for (const client of ['a', 'a', 'a', 'b', 'a']) expect(await store.turnedDown(DEP, client, 'refused')).toBe(false);
    expect(await workers.other.store.turnedDown(DEP, 'c', 'refused')).toBe(true);
    await store.accepted(DEP, []);
    for (const client of ['a', 'b']) expect(await store.turnedDown(DEP, client, 'refused')).toBe(false);
    await age(300_000);
    expect(await store.turnedDown(DEP, 'c', 'refused')).toBe(false);
    // Of a fleet that is limited for long no more is kept than decides.
    for (let index = 0; index < 20; index += 1)
      expect(await store.turnedDown(DEP, `${index}`, 'limited')).toBe(index >= 2);
    const row = await workers.opened.redis.hget(keys.deployment(DEP), 'limited');
    expect(row?.split(' ').map((turn) => turn.split('@')[0])).toEqual(['17', '18', '19']);
  });

  it('have the worker that sends the next call say whether it was taken, after a refusal', async () => {
    const { store } = workers.opened;
    await store.turnedDown(DEP, 'a', 'refused');
    expect(await store.take(DEP, PLENTY, false)).toEqual({ go: true, isWatched: true, isTry: false });
    await store.accepted(DEP, [draft(null, 'resume')]);
    expect(await store.take(DEP, PLENTY, false)).toEqual({ go: true, isWatched: false, isTry: false });
    expect(await store.auditSize()).toBe(0);
  });

  it('that version 0.1 paused are taken over once', async () => {
    const { store, redis } = workers.opened;
    await redis.hset(keys.pausedBefore, DEP, '1');
    expect([await store.takePausedBefore(DEP), await store.takePausedBefore(DEP)]).toEqual([true, false]);
    expect(await store.takePausedBefore('another')).toBe(false);
  });

  it('keep a throttle through a crash of Redis', async () => {
    const { store } = workers.opened;
    await store.throttle(DEP, 3_600_000, []);
    await workers.server.kill();
    await workers.server.restart();
    await until('Redis answers', () => store.now());
    expect(await store.take(DEP, PLENTY, false)).toMatchObject({ go: false, because: 'throttled' });
  });
});
