import { describe, expect, it } from 'vitest';
import type { Action } from '../../src/core/action.ts';
import { turnBack } from '../../src/core/ending.ts';
import { plan } from '../../src/core/plan.ts';
import type { Verdict } from '../../src/core/proof.ts';
import { destroyed, provedNew, provedOld, takenRefused, takenUnproven, unprovable } from '../../src/core/proving.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import type { Retirement } from '../../src/core/retirement.ts';
import {
  CONTEXT,
  contextAt,
  discard,
  idOf,
  key,
  MINUTE,
  POLICY,
  retirement,
  retiringRecord,
  rotating,
  SERVED_URI,
  START,
  shown,
  signersHold,
  summary,
  tries,
  typesOf,
  withServer,
} from './support.ts';

const REFUSED: Verdict = { verdict: 'refused', status: 400, message: 'InvalidSignature', claims: false };
const VAGUE: Verdict = { verdict: 'refused', status: 401, message: 'invalid_client', claims: true };
const UNKNOWN: Verdict = { verdict: 'unknown', status: 503, message: 'later' };
const THROTTLED: Verdict = { verdict: 'throttled', retryAfterMs: 5_000, message: 'slow' };
const ACCEPTED: Verdict = { verdict: 'accepted' };
const LEAKED = { compromised: { kid: 'a' } };

describe('the proof of a new key', () => {
  const prove = (record: ClientRecord, verdict: Verdict) => provedNew(record, 'b', verdict, CONTEXT);

  /** How often a verdict is borne before the phase is another one or a person has to look. */
  function borne(record: ClientRecord, verdict: Verdict): { times: number; record: ClientRecord } {
    const name = record.rotation?.phase.name;
    let next = record;
    for (let times = 1; times < 100; times += 1) {
      next = prove(next, verdict).record;
      if (next.halted !== null || next.rotation?.phase.name !== name) return { times, record: next };
    }
    throw new Error('it is borne for ever');
  }

  it('accepted', () => {
    const change = prove(rotating('overlap', 'published', {}, { tries: tries({ failed: 2, error: 'x' }) }), ACCEPTED);
    expect(change.record).toMatchObject({
      rotation: {
        phase: { name: 'proven', kid: 'b' },
        marks: [{ at: START, what: 'accepted', kid: 'b' }],
        tries: tries({}),
      },
    });
    expect(change.record.keys[1]).toMatchObject({ proof: 'accepted', state: 'pre-active' });
    expect(change.entries).toMatchObject([{ type: 'key.proven', data: { kid: 'b', expected: 'accepted' } }]);
  });

  it('taken as read back says so, and tells the audit trail of no proof', () => {
    const change = takenUnproven(rotating('overlap', 'published'), 'b');
    expect(change.record.keys[1]).toMatchObject({ proof: 'read_back' });
    expect(change.record.rotation?.phase).toEqual({ name: 'proven', kid: 'b' });
    expect(change.entries).toEqual([]);
  });

  it.each<[string, ClientRecord, Verdict, number]>([
    ['refused after a cutover turns back at once', rotating('cutover', 'cut_over'), REFUSED, 1],
    ['also in words that fit any reason', rotating('cutover', 'cut_over'), VAGUE, 1],
    ['refused in an overlap may be a cache', rotating('overlap', 'published'), REFUSED, 3],
    ['without a result is asked for again', rotating('cutover', 'cut_over'), UNKNOWN, POLICY.attempts],
  ])('%s', (_, record, verdict, times) => {
    const end = borne(record, verdict);
    expect(end).toMatchObject({
      times,
      record: { halted: null, retirements: [], rotation: { phase: { name: 'reverting' } } },
    });
  });

  it('counts refusals alone: answers that tell nothing are not taken for a no', () => {
    let record = rotating('overlap', 'published');
    for (let time = 0; time < 3; time += 1) record = prove(record, UNKNOWN).record;
    expect(record.rotation?.tries).toMatchObject({ failed: 3, refused: 0 });
    const end = prove(record, REFUSED).record;
    expect(end.rotation).toMatchObject({ phase: { name: 'published' }, tries: { refused: 1 } });
  });

  it('after a compromise is without a result for as long as it takes', () => {
    let record = rotating('cutover', 'cut_over', {}, LEAKED);
    for (let time = 0; time < 20; time += 1) record = prove(record, UNKNOWN).record;
    expect(record).toMatchObject({ halted: null, rotation: { phase: { name: 'cut_over' } }, retirements: [] });
    expect(record.rotation?.tries.error).toMatch(/attempts are used up.*later$/);
    expect(borne(record, REFUSED).times).toBe(3);
  });

  it('refused after a compromise leads to another key, and never back', () => {
    const { times, record } = borne(rotating('cutover', 'cut_over', {}, LEAKED), REFUSED);
    expect(times).toBe(3);
    expect(record).toMatchObject({
      halted: null,
      rotation: {
        phase: { name: 'requested' },
        tries: { failed: 0, refused: 0, error: expect.stringMatching(/refuses the new key b/) },
      },
      retirements: [{ kid: 'b', role: 'discarded', phase: 'withdrawing' }],
    });
    expect(plan(record, POLICY, START)).toMatchObject({ do: 'generate' });
  });

  it('refused after a compromise in another alg and format leads to those of the key in use', () => {
    const other = { ...LEAKED, alg: 'RS256', format: 'jwks_uri' } as const;
    const { record } = borne(withServer(rotating('cutover', 'cut_over', {}, other), { format: 'jwks' }), REFUSED);
    expect(record.rotation).toMatchObject({ phase: { name: 'requested' }, alg: 'ES256', format: 'jwks' });
  });

  it('refused after a compromise for three keys: a person has to look', () => {
    const third = rotating('cutover', 'cut_over', {}, { ...LEAKED, keysMade: 3 });
    const { record } = borne(third, REFUSED);
    expect(record).toMatchObject({ rotation: { phase: { name: 'cut_over' } }, retirements: [] });
    expect(record.halted).toMatch(/refuses the new key b/);
  });

  describe('refused where the server fetches the set itself', () => {
    const before = shown(['a'], { jwksUri: SERVED_URI });
    const served = (change: object = {}) =>
      rotating('cutover', 'cut_over', {}, { format: 'jwks_uri', before, ...change });
    const refusedAt = (record: ClientRecord, now: number) => provedNew(record, 'b', REFUSED, contextAt(now)).record;

    it.each([
      ['may be a cache for as long as a set may take to spread', {}, 'reverting'],
      ['may be one after a compromise too, and costs no key', LEAKED, 'requested'],
    ])('%s', (_, change, end) => {
      let record = served(change);
      let now = START;
      for (; now < START + POLICY.propagationMs; now = record.rotation?.tries.notBefore ?? 0) {
        record = refusedAt(record, now);
        expect(record).toMatchObject({ halted: null, retirements: [], rotation: { phase: { name: 'cut_over' } } });
        expect(record.rotation?.tries).toMatchObject({
          failed: 0,
          refused: 0,
          error: expect.stringMatching(/refuses/),
        });
      }
      // Not a moment later than it says something.
      expect(now).toBe(START + POLICY.propagationMs);
      for (let time = 0; time < 3 && record.rotation?.phase.name === 'cut_over'; time += 1)
        record = refusedAt(record, now);
      expect(record.rotation?.phase.name).toBe(end);
    });
  });

  it.each([
    ['from another address', { jwksUri: null }],
    ['by another alg', { alg: 'RS256' }],
  ])('refused by a server that went %s before is believed at once', (_, changed) => {
    const before = shown(['a'], { jwksUri: SERVED_URI, ...changed });
    const record = rotating('cutover', 'cut_over', {}, { format: 'jwks_uri', before });
    expect(borne(record, REFUSED)).toMatchObject({ times: 1, record: { rotation: { phase: { name: 'reverting' } } } });
  });

  it('throttled costs no attempt, and says why it waits', () => {
    const change = prove(rotating('cutover', 'cut_over'), THROTTLED);
    expect(change.record.rotation?.tries).toEqual(tries({ notBefore: START + 5_000, error: 'slow' }));
  });

  it('throttled until the time is over: the old key is put back', () => {
    const { record } = prove(rotating('cutover', 'cut_over'), { ...THROTTLED, retryAfterMs: 60 * MINUTE });
    // It is asked again soon: nobody can sign in with the old key.
    expect(plan(record, POLICY, START)).toMatchObject({ do: 'wait', until: START + 5_000 });
    const late = plan(record, POLICY, START + POLICY.proveWithinMs);
    expect(late).toEqual({ do: 'turn_back', why: 'not proven in time: slow' });
    const rotation = record.rotation;
    if (late.do !== 'turn_back' || rotation === null) throw new Error('it should turn back');
    expect(turnBack(record, rotation, 'b', late.why).record).toMatchObject({
      rotation: { phase: { name: 'reverting', kid: 'b', why: late.why }, tries: { failed: 0, notBefore: 0 } },
    });
  });
});

describe('the proof that an old key is refused', () => {
  const record = retiringRecord(retirement('withdrawn'));
  const oldOf = (from: ClientRecord) => from.retirements[0] ?? retirement('withdrawn');
  const prove = (from: ClientRecord, verdict: Verdict, name = 'a') => {
    const action: Extract<Action, { do: 'prove_old' }> = { do: 'prove_old', kid: 'a', name, old: oldOf(from) };
    return provedOld(from, action, verdict, CONTEXT);
  };

  it('by its signature is believed', () => {
    const change = prove(record, REFUSED);
    expect(change.record.retirements).toMatchObject([
      { phase: 'refused', names: [], rotation: { marks: [{ at: START, what: 'refused', kid: 'a' }] } },
    ]);
    expect(change.entries).toMatchObject([
      { type: 'key.proven', rotation: 'r0', data: { kid: 'a', name: 'a', expected: 'refused', verdict: 'refused' } },
    ]);
  });

  it('in words that fit any reason is believed the third time', () => {
    const second = prove(prove(record, VAGUE).record, VAGUE);
    expect(second.record.retirements).toMatchObject([{ phase: 'withdrawn', tries: { refused: 2 } }]);
    expect(prove(second.record, VAGUE).record.retirements).toMatchObject([{ phase: 'refused', tries: tries({}) }]);
  });

  it('is not made up of answers that tell nothing', () => {
    let next = record;
    for (let time = 0; time < 20; time += 1) next = prove(next, UNKNOWN).record;
    expect(next.retirements).toMatchObject([{ phase: 'withdrawn', tries: { failed: 20, refused: 0 } }]);
    expect(prove(next, VAGUE).record.retirements).toMatchObject([{ phase: 'withdrawn' }]);
  });

  it('starts again when it is accepted after all', () => {
    const twice = prove(prove(record, VAGUE).record, VAGUE).record;
    const accepted = prove(twice, ACCEPTED).record;
    expect(accepted.retirements).toMatchObject([
      { phase: 'withdrawn', tries: { refused: 0, error: 'the server still accepts the old key a' } },
    ]);
    expect(prove(prove(accepted, VAGUE).record, VAGUE).record.retirements).toMatchObject([{ phase: 'withdrawn' }]);
  });

  it('has to come for each name that it stood under', () => {
    const twoNames = retiringRecord(retirement('withdrawn', { names: ['a', 'alias'] }));
    const first = prove(twoNames, REFUSED).record;
    expect(first.retirements).toMatchObject([{ phase: 'withdrawn', names: ['alias'] }]);
    expect(plan(first, POLICY, START)).toMatchObject({ do: 'prove_old', kid: 'a', name: 'alias' });
    const still = prove(first, ACCEPTED, 'alias').record;
    expect(still.retirements).toMatchObject([
      { phase: 'withdrawn', names: ['alias'], tries: { error: 'the server still accepts the old key alias' } },
    ]);
    expect(prove(still, REFUSED, 'alias').record.retirements).toMatchObject([{ phase: 'refused', names: [] }]);
  });

  it.each<[string, Verdict]>([
    ['still accepted', ACCEPTED],
    ['not known', { verdict: 'unknown', status: null, message: 'no answer' }],
    ['throttled', THROTTLED],
  ])('%s: asked again for as long as it takes, and no rotation under way hears of it', (_, verdict) => {
    const under: ClientRecord = { ...rotating('overlap', 'published'), retirements: record.retirements };
    let next = under;
    for (let time = 0; time < 20; time += 1) next = prove(next, verdict).record;
    expect(next.retirements).toMatchObject([{ phase: 'withdrawn' }]);
    expect(next.retirements[0]?.tries.error).not.toBeNull();
    expect(next).toMatchObject({
      rotation: under.rotation,
      server: under.server,
      signers: under.signers,
      halted: null,
    });
  });
});

describe('an old key that cannot be opened', () => {
  const prove = (from: ClientRecord, old: Retirement) => unprovable(from, old, 'its KEK is missing', CONTEXT);

  it('is asked for again first, since a KEK may come back', () => {
    const old = retirement('withdrawn');
    const { record, entries } = prove(retiringRecord(old), old);
    expect(record.retirements).toMatchObject([
      { phase: 'withdrawn', tries: { failed: 1, error: 'its KEK is missing' } },
    ]);
    expect(entries).toEqual([]);
  });

  it('is then taken as refused, and the audit trail says that this was not seen', () => {
    const old = retirement('withdrawn', { names: ['a', 'alias'], tries: tries({ failed: POLICY.attempts - 1 }) });
    const { record, entries } = prove(retiringRecord(old), old);
    expect(record.retirements).toMatchObject([{ phase: 'refused', names: [], tries: tries({}) }]);
    expect(entries).toMatchObject([
      { type: 'key.proven', rotation: 'r0', data: { kid: 'a', verdict: 'unknown', error: 'its KEK is missing' } },
    ]);
  });
});

describe('the end of a key', () => {
  it('is the end of the rotation that replaced it', () => {
    const old = retirement('refused');
    const change = destroyed(retiringRecord(old), old, contextAt(START + 1));
    expect(change.record).toMatchObject({
      retirements: [],
      keys: [{ kid: 'b' }],
      former: [{ id: idOf('a'), kid: 'a', at: START + 1, compromised: false }],
    });
    expect(change.ended).toMatchObject([{ id: 'r0', state: 'finished', endedAt: START + 1 }]);
    expect(typesOf(change)).toEqual(['key.destroyed', 'rotation.completed']);
    expect(change.entries[0]).toMatchObject({
      rotation: 'r0',
      data: { kid: 'a', from: 'deactivated', to: 'destroyed' },
    });
  });

  it('that never was active ends nothing', () => {
    const old = discard('a');
    const change = destroyed(retiringRecord(old), old, CONTEXT);
    expect(change.record).toMatchObject({ retirements: [], former: [{ kid: 'a' }] });
    expect(change.ended ?? []).toEqual([]);
    expect(typesOf(change)).toEqual(['key.destroyed']);
  });

  it('is remembered as compromised when it was', () => {
    const old = retirement('refused');
    const record = { ...retiringRecord(old), keys: [key('a', 'compromised'), key('b', 'active')] };
    expect(destroyed(record, old, CONTEXT).record.former).toMatchObject([{ kid: 'a', compromised: true }]);
  });

  it('that is foreign was not ours to destroy, and ends the rotation all the same', () => {
    const old = retirement('refused', { kid: null });
    const change = destroyed(retiringRecord(old), old, CONTEXT);
    expect(change.record.keys).toHaveLength(2);
    expect(change.record.former).toEqual([]);
    expect(typesOf(change)).toEqual(['rotation.completed']);
  });

  it('leaves others on their way alone', () => {
    const other = retirement('withdrawn', { kid: 'c', rotation: summary('r2') });
    const old = retirement('refused');
    const record = retiringRecord(old, { retirements: [other, old], signers: signersHold('b', null, 'c') });
    expect(destroyed(record, old, CONTEXT).record.retirements).toEqual([other]);
    const [taken] = takenRefused(record, other).record.retirements;
    expect(taken).toMatchObject({ kid: 'c', phase: 'refused', names: [] });
  });
});
