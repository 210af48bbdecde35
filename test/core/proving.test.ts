import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../src/core/proof.ts';
import { proved, takenUnproven, unprovable } from '../../src/core/proving.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { CONTEXT, POLICY, retirement, retiringRecord, rotating, START } from './support.ts';

describe('the proof of a new key', () => {
  const refused: Verdict = { verdict: 'refused', status: 400, message: 'InvalidSignature', claims: false };
  const unknown: Verdict = { verdict: 'unknown', status: 503, message: 'later' };
  const prove = (record: ClientRecord, verdict: Verdict) => proved(record, 'b', 'accepted', verdict, CONTEXT);

  /** How often a verdict is borne before the rotation turns back or halts. */
  function borne(record: ClientRecord, verdict: Verdict): { times: number; record: ClientRecord } {
    let next = record;
    for (let times = 1; times < 100; times += 1) {
      next = prove(next, verdict).record;
      if (next.halted !== null || next.rotation?.phase.name === 'reverting') return { times, record: next };
    }
    throw new Error('it is borne for ever');
  }

  it('accepted', () => {
    const change = prove(rotating('overlap', 'published'), { verdict: 'accepted' });
    expect(change.record).toMatchObject({ rotation: { phase: { name: 'proven', kid: 'b' } } });
    expect(change.record.keys[1]).toMatchObject({ proof: 'accepted', state: 'pre-active' });
    expect(change.entries).toMatchObject([{ type: 'key.proven', data: { kid: 'b', expected: 'accepted' } }]);
  });

  it('taken as read back tells so, and tells the audit trail of no proof', () => {
    const change = takenUnproven(rotating('overlap', 'published'), 'b', 'accepted');
    expect(change.record.keys[1]).toMatchObject({ proof: 'read_back' });
    expect(change.entries).toEqual([]);
  });

  it.each<[string, ClientRecord, Verdict, number]>([
    ['refused after a cutover turns back at once', rotating('cutover', 'cut_over'), refused, 1],
    ['refused in an overlap may be a cache', rotating('overlap', 'published'), refused, 3],
    ['without a result is asked for again', rotating('cutover', 'cut_over'), unknown, POLICY.attempts],
  ])('%s', (_, record, verdict, times) => {
    const end = borne(record, verdict);
    expect(end).toMatchObject({ times, record: { halted: null, retiring: [] } });
  });

  it('refused after a compromise is never a way back', () => {
    const record = rotating('cutover', 'cut_over', {}, { compromised: { kid: 'a' } });
    const end = borne(record, refused);
    expect(end.times).toBe(POLICY.attempts);
    expect(end.record).toMatchObject({ rotation: { phase: { name: 'cut_over' } } });
    expect(end.record.halted).toMatch(/refuses the new key b/);
  });

  it('refused after a compromise, when it had no result for long, is borne as often as at any time', () => {
    let record = rotating('cutover', 'cut_over', {}, { compromised: { kid: 'a' } });
    for (let time = 0; time < 20; time += 1) record = prove(record, unknown).record;
    expect(record).toMatchObject({ halted: null, rotation: { phase: { name: 'cut_over' } } });
    expect(borne(record, refused).times).toBe(POLICY.attempts);
  });

  it('throttled costs no attempt', () => {
    const change = prove(rotating('cutover', 'cut_over'), {
      verdict: 'throttled',
      retryAfterMs: 5_000,
      message: 'slow',
    });
    expect(change.record).toMatchObject({ attempts: 0, notBefore: START + 5_000 });
  });
});

describe('the proof that an old key is refused', () => {
  const record = retiringRecord(retirement('overlap', 'withdrawn'));
  const prove = (from: ClientRecord, verdict: Verdict) => proved(from, 'a', 'refused', verdict, CONTEXT);
  const vague: Verdict = { verdict: 'refused', status: 401, message: 'invalid_client', claims: true };

  it('by its signature is believed', () => {
    const change = prove(record, { ...vague, claims: false });
    expect(change.record).toMatchObject({ retiring: [{ phase: 'refused' }] });
    expect(change.entries).toMatchObject([
      { type: 'key.proven', rotation: 'r0', data: { kid: 'a', expected: 'refused' } },
    ]);
  });

  it('in words that fit any reason is believed the third time', () => {
    const second = prove(prove(record, vague).record, vague);
    expect(second.record).toMatchObject({ retiring: [{ phase: 'withdrawn' }], attempts: 2 });
    expect(prove(second.record, vague).record).toMatchObject({ retiring: [{ phase: 'refused' }], attempts: 0 });
  });

  it.each<[string, Verdict]>([
    ['still accepted', { verdict: 'accepted' }],
    ['not known', { verdict: 'unknown', status: null, message: 'no answer' }],
  ])('%s: asked again for as long as it takes, and no rotation under way is given up for it', (_, verdict) => {
    let next: ClientRecord = { ...rotating('overlap', 'published'), retiring: record.retiring };
    for (let time = 0; time < 20; time += 1) next = prove(next, verdict).record;
    expect(next).toMatchObject({
      attempts: 20,
      rotation: { phase: { name: 'published' } },
      retiring: [{ phase: 'withdrawn' }],
    });
  });
});

describe('an old key that cannot be opened', () => {
  const prove = (from: ClientRecord) => unprovable(from, 'a', 'its KEK is missing', CONTEXT);

  it('is asked for again first, since a KEK may come back', () => {
    const { record, entries } = prove(retiringRecord(retirement('overlap', 'withdrawn')));
    expect(record).toMatchObject({ retiring: [{ phase: 'withdrawn' }], attempts: 1, lastError: 'its KEK is missing' });
    expect(entries).toEqual([]);
  });

  it('is then taken for refused, and the audit trail says that this was not seen', () => {
    const exhausted = { attempts: POLICY.attempts - 1 };
    const { record, entries } = prove(retiringRecord(retirement('overlap', 'withdrawn'), exhausted));
    expect(record).toMatchObject({ retiring: [{ phase: 'refused' }], attempts: 0, lastError: null });
    expect(entries).toMatchObject([
      { type: 'key.proven', rotation: 'r0', data: { kid: 'a', verdict: 'unknown', error: 'its KEK is missing' } },
    ]);
  });
});
