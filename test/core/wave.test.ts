/** How large a cohort is, who is in it, when the rest follows, and what counts as a failure. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ClientRef, makeReference, splitReference } from '../../src/core/client.ts';
import { activate, fail, halt, rolledBack } from '../../src/core/ending.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import type { Rotation } from '../../src/core/rotation.ts';
import {
  type CohortPolicy,
  changesForm,
  cohortOf,
  cohortSize,
  type Wave,
  type WaveStep,
  waveStep,
} from '../../src/core/wave.ts';
import {
  asked,
  CONTEXT,
  client,
  DAY,
  enrolledRecord,
  foundRecord,
  HOUR,
  MINUTE,
  POLICY,
  publishedPem,
  rotating,
  START,
  withServer,
} from './support.ts';

const COHORT: CohortPolicy = { firstPercent: 5, thenMs: HOUR, stopAfter: 1 };

describe('how many go first', () => {
  it.each<[due: number, changes: boolean, percent: number, first: number]>([
    [0, false, 5, 0],
    [1, false, 5, 1],
    [1, true, 5, 1],
    [2, true, 5, 1],
    [19, false, 5, 19],
    [19, true, 5, 1],
    [20, false, 5, 1],
    [39, false, 5, 1],
    [40, false, 5, 2],
    [100, false, 29, 29],
    [100_000, false, 5, 5_000],
    [100_000, true, 0.001, 1],
    [100_000, false, 100, 100_000],
  ])('of %i due clients, changing form %s, at %d %%', (due, changes, firstPercent, first) => {
    expect(cohortSize(due, changes, { ...COHORT, firstPercent })).toBe(first);
  });

  it('is at least one and at most all, whatever is asked for', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200_000 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 100_000 }),
        (due, changes, thousandths) => {
          const first = cohortSize(due, changes, { ...COHORT, firstPercent: thousandths / 1_000 });
          expect(first).toBeGreaterThanOrEqual(1);
          expect(first).toBeLessThanOrEqual(due);
        },
      ),
    );
  });
});

describe('a change of form', () => {
  it.each<[string, ClientRecord, Partial<ClientPolicy>, boolean]>([
    ['the same alg and format', enrolledRecord(), {}, false],
    ['keep', enrolledRecord(), { alg: 'keep', format: 'keep' }, false],
    ['another alg', enrolledRecord(), { alg: 'ES384' }, true],
    ['another format', enrolledRecord(), { format: 'pem' }, true],
    ['a PEM that becomes a set', withServer(enrolledRecord(), { format: 'pem' }), {}, true],
    ['a found client with that alg', foundRecord(), {}, false],
    ['a found client with another alg', foundRecord(client({ alg: 'RS256' })), {}, true],
    ['a found client with a PEM', foundRecord(client({ keys: [publishedPem('x')] })), {}, true],
  ])('%s', (_, record, policy, changes) => {
    expect(changesForm(record, { ...POLICY, ...policy })).toBe(changes);
  });
});

/** Due clients, `a` first: `dep/app/1` as `[app, id]`. */
function refs(...clients: readonly (readonly [string, number])[]): readonly ClientRef[] {
  return clients.map(([app, id]) => makeReference('dep', app, String(id)));
}

describe('the cohort', () => {
  it('is the longest due clients of each app in turn', () => {
    const due = refs(['a', 1], ['a', 2], ['a', 3], ['b', 1], ['a', 4], ['c', 1], ['b', 2]);
    expect(cohortOf(due, 5)).toEqual(refs(['a', 1], ['b', 1], ['c', 1], ['a', 2], ['b', 2]));
    expect(cohortOf(due, 2)).toEqual(refs(['a', 1], ['b', 1]));
    expect(cohortOf(due, 7)).toHaveLength(7);
    expect(cohortOf([], 1)).toEqual([]);
  });

  it('has no client twice, none that is not due, and no app left out that others have two of', () => {
    const due = fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 1, max: 60 })), {
      maxLength: 120,
      selector: ([app, id]) => `${app}/${id}`,
    });
    fc.assert(
      fc.property(due, fc.integer({ min: 0, max: 140 }), (clients, size) => {
        const all = refs(...clients);
        const first = cohortOf(all, size);
        expect(first).toHaveLength(Math.min(size, all.length));
        expect(new Set(first).size).toBe(first.length);
        expect(first.every((ref) => all.includes(ref))).toBe(true);
        const count = (of: readonly ClientRef[], app: string) =>
          of.filter((ref) => splitReference(ref).app === app).length;
        const apps = [...new Set(clients.map(([app]) => app))];
        const most = Math.max(0, ...apps.map((app) => count(first, app)));
        for (const app of apps) {
          expect(count(first, app)).toBeGreaterThanOrEqual(Math.min(most - 1, count(all, app)));
        }
      }),
    );
  });

  it('of 100,000 clients is chosen in one pass', () => {
    let reads = 0;
    const due = Array.from({ length: 100_000 }, (_, at) => makeReference('dep', `app-${at % 7}`, String(at + 1)));
    const counting = new Proxy(due, {
      get(target, name, receiver) {
        reads += 1;
        return Reflect.get(target, name, receiver);
      },
    });
    expect(cohortOf(counting, 5_000)).toHaveLength(5_000);
    // Each entry with the length of the list beside it, and no more.
    expect(reads).toBeLessThan(3 * due.length);
  });
});

const WAVE: Wave = {
  id: 'w1',
  phase: 'cohort',
  startedAt: START,
  found: 100,
  first: 5,
  chosen: 5,
  waiting: 0,
  active: 5,
  failed: 0,
  forgiven: 0,
  why: null,
};

describe('the rest of a wave', () => {
  const HOLD_AN_HOUR: WaveStep = { do: 'hold', until: START + HOUR };

  it.each<[string, Partial<Wave>, number, Partial<CohortPolicy>, WaveStep | { do: string }]>([
    ['waits until it is time, though all of the cohort sign in', {}, HOUR - 1, {}, HOLD_AN_HOUR],
    ['follows then', {}, HOUR, {}, { do: 'follow' }],
    [
      'waits for those that have not ended',
      { waiting: 1, active: 4 },
      HOUR,
      {},
      { do: 'hold', until: START + HOUR + DAY },
    ],
    ['stops when they do not end', { waiting: 1, active: 4 }, HOUR + DAY, {}, { do: 'stop' }],
    ['stops at once when one has failed', { waiting: 4, active: 0, failed: 1 }, MINUTE, {}, { do: 'stop' }],
    ['bears as many failures as the policy does', { active: 3, failed: 2 }, HOUR, { stopAfter: 3 }, { do: 'follow' }],
    ['and no more', { active: 2, failed: 3 }, HOUR, { stopAfter: 3 }, { do: 'stop' }],
    ['follows when some of the cohort sign in and the others are gone', { active: 1 }, HOUR, {}, { do: 'follow' }],
    ['is another wave when nothing was learned', { active: 0 }, HOUR, {}, { do: 'forget' }],
    ['follows at once where the policy says so', {}, 0, { thenMs: 0 }, { do: 'follow' }],
    ['is begun on', { phase: 'rest', waiting: 3, active: 1 }, MINUTE, {}, { do: 'follow' }],
    ['stops while it is begun', { phase: 'rest', failed: 1 }, MINUTE, {}, { do: 'stop' }],
    [
      'goes on after failures that a person has seen',
      { phase: 'rest', failed: 3, forgiven: 3 },
      0,
      {},
      { do: 'follow' },
    ],
    ['stops at failures after those', { phase: 'rest', failed: 4, forgiven: 3 }, 0, {}, { do: 'stop' }],
    ['stays stopped however long', { phase: 'stopped', failed: 1 }, 90 * DAY, {}, { do: 'hold', until: null }],
  ])('%s', (_, wave, after, cohort, step) => {
    expect(waveStep({ ...WAVE, ...wave }, { ...COHORT, ...cohort }, START + after)).toMatchObject(step);
  });

  /** Any wave of up to 100,000 clients that workers can bring about, and any time. */
  const waves = fc
    .record({
      phase: fc.constantFrom<Wave['phase']>('cohort', 'rest', 'stopped'),
      first: fc.integer({ min: 1, max: 100_000 }),
      decided: fc.double({ min: 0, max: 1, noNaN: true }),
      refused: fc.double({ min: 0, max: 1, noNaN: true }),
      forgiven: fc.integer({ min: 0, max: 3 }),
    })
    .map(({ phase, first, decided, refused, forgiven }): Wave => {
      const ended = Math.floor(first * decided);
      const failed = Math.floor(ended * refused);
      const counts = { first, chosen: first, waiting: first - ended, active: ended - failed, failed };
      return { ...WAVE, ...counts, phase, found: 100_000, forgiven: Math.min(forgiven, failed) };
    });
  const times = fc.integer({ min: 0, max: 40 * 24 });
  const cohorts = fc.record({
    firstPercent: fc.constant(5),
    thenMs: fc.integer({ min: 0, max: 24 }).map((hours) => hours * HOUR),
    stopAfter: fc.integer({ min: 1, max: 5 }),
  });

  it('never begins before its time, beside failures that stop it, or while any of the cohort is undecided', () => {
    fc.assert(
      fc.property(waves, cohorts, times, (wave, cohort, hours) => {
        if (waveStep(wave, cohort, START + hours * HOUR).do !== 'follow') return;
        expect(wave.phase).not.toBe('stopped');
        expect(wave.failed - wave.forgiven).toBeLessThan(cohort.stopAfter);
        if (wave.phase === 'rest') return;
        expect(hours * HOUR).toBeGreaterThanOrEqual(cohort.thenMs);
        expect(wave.waiting).toBe(0);
      }),
    );
  });

  it('waits for nothing for ever but for a person', () => {
    fc.assert(
      fc.property(waves, cohorts, times, (wave, cohort, hours) => {
        const step = waveStep(wave, cohort, START + hours * HOUR);
        if (step.do !== 'hold') return;
        if (step.until === null) expect(wave.phase).toBe('stopped');
        else expect(waveStep(wave, cohort, step.until).do === 'hold' && step.until >= START + 3 * DAY).toBe(false);
      }),
    );
  });

  it.each<[Partial<Wave>, string]>([
    [{ failed: 1 }, '1 of 5 rotations that went first failed or was rolled back'],
    [{ failed: 2 }, '2 of 5 rotations that went first failed or were rolled back'],
    [{ phase: 'rest', failed: 7, forgiven: 5 }, '2 rotations failed or were rolled back'],
  ])('says why it stops', (wave, why) => {
    expect(waveStep({ ...WAVE, ...wave }, COHORT, START)).toEqual({ do: 'stop', why });
  });
});

describe('what a wave counts', () => {
  const wave = { policy: 'default', id: 'w1' };
  const ofWave = (strategy: Rotation['strategy'], phase: Rotation['phase']['name']) =>
    rotating(strategy, phase, {}, { wave });
  const rotationOf = ({ rotation }: ClientRecord): Rotation => {
    if (rotation === null) throw new Error('there should be a rotation');
    return rotation;
  };

  it.each<[string, ReturnType<typeof fail>, string]>([
    [
      'a new key in use',
      activate(ofWave('overlap', 'proven'), rotationOf(ofWave('overlap', 'proven')), 'b', CONTEXT),
      'active',
    ],
    [
      'one that failed',
      fail(ofWave('cutover', 'requested'), rotationOf(ofWave('cutover', 'requested')), 'no', CONTEXT),
      'failed',
    ],
    [
      'one that was rolled back',
      rolledBack(ofWave('cutover', 'reverting'), rotationOf(ofWave('cutover', 'reverting')), 'no', CONTEXT),
      'failed',
    ],
    ['one that halted its client', halt(ofWave('cutover', 'cut_over'), 'no'), 'failed'],
  ])('%s', (_, change, outcome) => {
    expect(change.counted).toEqual({ wave, outcome });
  });

  it('is nothing of a rotation that belongs to no wave', () => {
    const record = rotating('overlap', 'proven');
    expect(activate(record, rotationOf(record), 'b', CONTEXT)).not.toHaveProperty('counted');
    expect(halt(enrolledRecord(), 'no')).not.toHaveProperty('counted');
  });

  it('is told with the rotation that a sweep asks for, and stays when it becomes a compromise', () => {
    const { record } = request(enrolledRecord(), { ...asked('r1'), wave }, POLICY, START);
    expect(record.rotation?.wave).toEqual(wave);
    const escalated = request(record, asked('r2', { kid: null }), POLICY, START).record;
    expect(escalated.rotation).toMatchObject({ id: 'r1', wave, compromised: { kid: null } });
    const joined = request(rotating('overlap', 'published'), { ...asked('r2'), wave }, POLICY, START).record;
    expect(joined.rotation).not.toHaveProperty('wave');
  });
});
