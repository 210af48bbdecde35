/** A step that did not succeed: where that is counted, when it is tried again, and when it is given up. */
import { describe, expect, it } from 'vitest';
import type { Owner } from '../../src/core/action.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { failedStep, heldUpStep, refusedStep, relieved, throttledStep, triesOf } from '../../src/core/setback.ts';
import { afterFailure, afterRefusal, afterThrottling, NO_TRIES } from '../../src/core/tries.ts';
import {
  CONTEXT,
  enrolledRecord,
  MINUTE,
  type PhaseName,
  POLICY,
  retirement,
  rotating,
  START,
  shown,
  tries,
  withRotation,
} from './support.ts';

const LEAKED = { compromised: { kid: 'a' } };
const exhausted = { tries: tries({ failed: POLICY.attempts - 1 }) };
const fail = (record: ClientRecord, owner: Owner = 'rotation') => failedStep(record, owner, 'no luck', CONTEXT);

describe('a step that fails again and again', () => {
  it.each<[string, ClientRecord, object, string | null]>([
    [
      'before a key is made fails',
      rotating('cutover', 'requested', {}, exhausted),
      { rotation: null, retirements: [] },
      'failed',
    ],
    [
      'before it is published throws the key away',
      rotating('cutover', 'stored', {}, exhausted),
      { rotation: null, retirements: [{ role: 'discarded', kid: 'b', phase: 'refused' }] },
      'failed',
    ],
    [
      'before a PATCH was sent throws it away as well',
      rotating('cutover', 'delivered', {}, exhausted),
      { rotation: null, retirements: [{ role: 'discarded', phase: 'refused' }] },
      'failed',
    ],
    [
      'after a PATCH was sent turns back',
      rotating('cutover', 'delivered', {}, { ...exhausted, before: shown(['a']) }),
      { rotation: { phase: { name: 'reverting' }, tries: { failed: 0, notBefore: 0 } } },
      null,
    ],
    [
      'once it is published turns back',
      rotating('overlap', 'published', {}, exhausted),
      { rotation: { phase: { name: 'reverting' } } },
      null,
    ],
    [
      'after a cutover turns back',
      rotating('cutover', 'cut_over', {}, exhausted),
      { rotation: { phase: { name: 'reverting' } } },
      null,
    ],
    [
      'once it is proven is tried on',
      rotating('overlap', 'proven', {}, exhausted),
      { rotation: { phase: { name: 'proven' }, tries: { failed: POLICY.attempts } } },
      null,
    ],
    [
      'on a rollback is tried on',
      rotating('overlap', 'reverting', {}, exhausted),
      { rotation: { phase: { name: 'reverting' }, tries: { failed: POLICY.attempts } } },
      null,
    ],
  ])('%s', (_, record, next, state) => {
    const change = fail(record);
    expect(change.record).toMatchObject(next);
    expect((change.ended ?? []).map((summary) => summary.state)).toEqual(state === null ? [] : [state]);
  });

  it.each(['requested', 'stored', 'delivered', 'cut_over', 'proven'] as const)(
    'after a compromise is tried on while it is %s, and says so once its attempts are used up',
    (phase) => {
      const before = phase === 'delivered' ? shown(['a']) : null;
      let next = rotating('cutover', phase, {}, { ...LEAKED, before });
      for (let time = 1; time <= 20; time += 1) {
        const change = fail(next);
        expect(change.entries).toEqual([]);
        next = change.record;
        expect(next).toMatchObject({ halted: null, rotation: { phase: { name: phase }, tries: { failed: time } } });
        const used = time >= POLICY.attempts;
        expect(next.rotation?.tries.error).toMatch(used ? /attempts are used up.*no luck$/ : /^no luck$/);
      }
      expect((next.rotation?.tries.notBefore ?? 0) - START).toBe(POLICY.backoff.maxMs / 2);
    },
  );

  it('after a compromise is given up where the server said no as often', () => {
    const refuse = (record: ClientRecord) => refusedStep(record, 'rotation', 'no such app', CONTEXT);
    const often = { tries: tries({ failed: 3, refused: 3 }) };
    const change = refuse(rotating('cutover', 'delivered', {}, { ...LEAKED, ...often }));
    expect(change.record.rotation).toBeNull();
    expect(change.ended).toMatchObject([{ state: 'failed' }]);
    // Answers that tell nothing are not a no, however many there were.
    const outlasted = rotating('cutover', 'delivered', {}, { ...LEAKED, tries: tries({ failed: 50 }) });
    expect(refuse(outlasted).record.rotation).toMatchObject({
      phase: { name: 'delivered' },
      tries: { failed: 51, refused: 1 },
    });
  });

  it('has all its attempts after it was held up by what is no matter of its client', () => {
    let next = rotating('overlap', 'published');
    const lives = (times: number, step: typeof failedStep) => {
      for (let time = 0; time < times; time += 1) next = step(next, 'rotation', 'no luck', CONTEXT).record;
      return next.rotation?.phase.name;
    };
    expect(lives(50, heldUpStep)).toBe('published');
    expect((next.rotation?.tries.notBefore ?? 0) - START).toBe(POLICY.backoff.maxMs / 2);
    expect(lives(POLICY.attempts - 1, failedStep)).toBe('published');
    expect(lives(1, failedStep)).toBe('reverting');
    expect(next.rotation?.tries.error).toContain(`gave up after ${POLICY.attempts} attempts`);
  });

  it('waits longer each time, up to the most', () => {
    const waits = [0, 1, 2, 3, 10].map(
      (failed) => afterFailure(tries({ failed }), 'no luck', CONTEXT).notBefore - START,
    );
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 30_000]);
  });
});

describe('a failure', () => {
  const old = retirement('withdrawn', { kid: null });
  const record: ClientRecord = { ...rotating('overlap', 'published'), retirements: [old] };

  it.each<Owner>(['rotation', 'server', 'signers', old])('counts for its owner alone (%j)', (owner) => {
    const next = fail(record, owner).record;
    const owners: Owner[] = ['rotation', 'server', 'signers', next.retirements[0] ?? old];
    const failures = owners.map((other) => triesOf(next, other).failed);
    const at = typeof owner === 'string' ? owners.indexOf(owner) : 3;
    expect(failures).toEqual([0, 1, 2, 3].map((index) => (index === at ? 1 : 0)));
    expect(relieved(next, owner)).toEqual(record);
  });

  it.each<Owner>(['server', 'signers', old])('of no rotation gives none up (%j)', (owner) => {
    let next = record;
    for (let time = 0; time < 50; time += 1) next = refusedStep(fail(next, owner).record, owner, 'no', CONTEXT).record;
    expect(next).toMatchObject({ rotation: record.rotation, halted: null });
  });

  it('for a rotation or a retirement that is gone is lost', () => {
    const calm = enrolledRecord();
    expect(fail(calm, 'rotation').record).toEqual(calm);
    expect(fail(calm, old).record).toEqual(calm);
  });
});

describe('tries', () => {
  it('count a refusal as a failure too', () => {
    expect(afterRefusal(NO_TRIES, 'no', CONTEXT)).toMatchObject({ failed: 1, refused: 1, error: 'no' });
    expect(afterFailure(NO_TRIES, 'what?', CONTEXT)).toMatchObject({ failed: 1, refused: 0 });
  });

  it('count nothing when the server asks to be left alone, and wait as it asks', () => {
    const worn = tries({ failed: 2, refused: 1, notBefore: START, error: 'x' });
    const wait = afterThrottling(worn, MINUTE, 'slow', CONTEXT);
    expect(wait).toEqual({ failed: 2, refused: 1, notBefore: START + MINUTE, error: 'slow' });
  });

  it.each<[PhaseName, number]>([
    ['requested', MINUTE],
    ['cut_over', 5_000],
    ['reverting', 5_000],
  ])('throttling ends no rotation, and is waited out for less while sign-ins are refused (%s)', (phase, waitMs) => {
    let record = rotating('cutover', phase);
    for (let time = 0; time < 50; time += 1) {
      record = throttledStep(record, 'rotation', { ms: MINUTE, why: 'slow' }, CONTEXT).record;
    }
    expect(record).toEqual(
      withRotation(rotating('cutover', phase), { tries: tries({ notBefore: START + waitMs, error: 'slow' }) }),
    );
  });
});
