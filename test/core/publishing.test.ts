/** What sending a document to the server does to a record. */
import { describe, expect, it } from 'vitest';
import type { Owner, Purpose } from '../../src/core/action.ts';
import { desiredDocument } from '../../src/core/desired.ts';
import { plan } from '../../src/core/plan.ts';
import { announced, type PatchOutcome, patched, served, servingAnnounced, settled } from '../../src/core/publishing.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import type { Transition } from '../../src/core/transition.ts';
import {
  asked,
  CONTEXT,
  client,
  contextAt,
  enrolledRecord,
  inFlight,
  jwks,
  type PhaseName,
  POLICY,
  published,
  retirement,
  retiringRecord,
  rotating,
  START,
  seeing,
  servedKey,
  shown,
  tries,
  typesOf,
  withRotation,
  withServer,
} from './support.ts';

const onlyB = jwks(published('b'));

/** Why, and in whose name, the document of this record is sent. */
function sending(record: ClientRecord) {
  const leaving = record.retirements.find(({ phase }) => phase === 'withdrawing');
  const purpose: Purpose =
    leaving !== undefined ? 'withdraw' : record.rotation?.phase.name === 'reverting' ? 'revert' : 'cut_over';
  const owner: Owner = leaving ?? (record.rotation === null ? 'server' : 'rotation');
  return { document: desiredDocument(record, POLICY) ?? jwks(), purpose, owner };
}

/** The record as it is when the answer to a PATCH comes in. */
function sent(record: ClientRecord): ClientRecord {
  return announced(record, sending(record), { now: START, deadline: START + 10_000, policy: POLICY }).record;
}

function answer(record: ClientRecord, outcome: PatchOutcome, at = START): Transition {
  return patched(record, sending(record), outcome, 12.3, contextAt(at));
}

const UNKNOWN: PatchOutcome = { class: 'unknown', status: 502, message: 'upstream' };
const REFUSED: PatchOutcome = { class: 'refused', status: 400, message: 'no' };
const NOT_FOUND: PatchOutcome = { class: 'refused', status: 404, message: 'gone' };
const CREDENTIAL: PatchOutcome = { class: 'credential', status: 401, message: 'who?' };
const FORBIDDEN: PatchOutcome = { class: 'forbidden', status: 403, message: 'not yours' };
const THROTTLED: PatchOutcome = { class: 'throttled', status: 429, message: 'slow', retryAfterMs: 60_000 };
const done = (...kids: readonly string[]): PatchOutcome => ({
  class: 'done',
  status: 200,
  client: client({ keys: kids.map((kid) => published(kid)) }),
});
const delivered = rotating('cutover', 'delivered');
const withdrawing = retiringRecord(retirement('withdrawing'));
const leaked = rotating('cutover', 'delivered', {}, { compromised: { kid: 'a' } });

describe('what a rollback restores', () => {
  it('is what the server showed at the first PATCH', () => {
    const first = sent(seeing(delivered, { keys: [published('a'), published('x')], alg: null }));
    expect(first.rotation?.before).toEqual(shown(['a', 'x'], { alg: null }));
    expect(first.server.inFlight).toMatchObject({ isFirst: true, again: false });
    const later = sent(seeing(first, { keys: [published('b')] }));
    expect(later.rotation?.before).toEqual(first.rotation?.before);
    expect(later.server.inFlight).toMatchObject({ isFirst: false, again: true });
  });

  it('is taken as well when a set is served, before any PATCH', () => {
    const { record, entries } = servingAnnounced(delivered, { purpose: 'cut_over', owner: 'rotation' }, CONTEXT);
    expect(record.rotation?.before).toEqual(shown(['a']));
    expect(record.server.served).toBeNull();
    expect(entries).toMatchObject([{ type: 'key.publishing', rotation: 'r1', data: { kids: ['b'], served: true } }]);
  });

  it('is taken when the server is found to hold the new document already', () => {
    const { record } = settled(seeing(delivered, { keys: [published('b')] }), sending(delivered), CONTEXT);
    expect(record.rotation).toMatchObject({ phase: { name: 'cut_over' }, before: shown(['b']) });
  });

  it.each(['requested', 'stored'] as const)('is not taken by a document without the new key (%s)', (phase) => {
    const record = rotating('cutover', phase, { retirements: [retirement('withdrawing', { kid: null })] });
    expect(sent(record).rotation?.before).toBeNull();
  });

  it.each<[string, PatchOutcome]>([
    ['throttled', THROTTLED],
    ['credential', CREDENTIAL],
    ['forbidden', FORBIDDEN],
  ])('is forgotten when the first PATCH was turned down (%s)', (_, outcome) => {
    expect(answer(sent(delivered), outcome).record.rotation).toMatchObject({
      phase: { name: 'delivered' },
      before: null,
    });
  });

  it.each<[string, ClientRecord]>([
    ['one before it was never answered', sent(answer(sent(delivered), UNKNOWN).record)],
    ['one before it was sent by a worker that died', sent(sent(delivered))],
    ['one before it was answered with another document', sent(answer(sent(delivered), done('x')).record)],
    [
      'a set that we serve was written before it',
      sent(servingAnnounced(delivered, { purpose: 'cut_over', owner: 'rotation' }, CONTEXT).record),
    ],
  ])('is kept when %s', (_, record) => {
    for (const outcome of [THROTTLED, CREDENTIAL, FORBIDDEN]) {
      expect(answer(record, outcome).record.rotation?.before).not.toBeNull();
    }
  });
});

describe('the answer to a PATCH', () => {
  const record = sent(delivered);

  it('done: the new key stands', () => {
    const change = answer(record, done('b'));
    expect(change.record).toMatchObject({
      rotation: { phase: { name: 'cut_over', kid: 'b', at: START }, marks: [{ what: 'patched' }], tries: tries({}) },
      server: { inFlight: null, confirmedAt: START, conflicts: 0 },
    });
    expect(change.record.keys[1]).toMatchObject({ kid: 'b', publishedAt: START });
    expect(change.entries).toMatchObject([
      { type: 'key.published', data: { purpose: 'cut_over', kids: ['b'], status: 200, duration_ms: 12 } },
    ]);
  });

  it('done, but with another document: looked at again, and the second time a person has to look', () => {
    const first = answer(record, done('x'));
    expect(first.record).toMatchObject({
      halted: null,
      server: { conflicts: 1, observed: { at: 0 } },
      rotation: { phase: { name: 'delivered' }, tries: { failed: 0 } },
    });
    expect(plan(first.record, POLICY, START)).toEqual({ do: 'look', owner: 'rotation' });
    const second = answer(sent(first.record), done('x'));
    expect(second.record.halted).toMatch(/differs from what was sent/);
    expect(typesOf(second)).toEqual(['key.publish_failed', 'client.halted', 'rotation.failed']);
    const resumed = request(withServer(second.record, { inFlight: null }), asked('r2'), POLICY, START).record;
    expect(plan(resumed, POLICY, START)).toEqual({ do: 'look', owner: 'rotation' });
  });

  it('refused: the rotation fails, and its key is thrown away, never having been published', () => {
    const change = answer(record, REFUSED);
    expect(change.record).toMatchObject({
      rotation: null,
      retirements: [{ role: 'discarded', kid: 'b', phase: 'refused' }],
    });
    expect(change.ended).toMatchObject([
      { id: 'r1', state: 'failed', error: 'the server refused the PATCH (400): no', endedAt: START },
    ]);
    expect(typesOf(change)).toEqual(['key.publish_failed', 'rotation.failed']);
  });

  it.each<[string, ClientRecord]>([
    ['an earlier one may have arrived', sent(answer(record, UNKNOWN).record)],
    ['an earlier one was sent by a worker that died', sent(record)],
    ['an earlier one was answered with another document', sent(answer(record, done('x')).record)],
    [
      'the new key is in the set that we serve',
      sent(servingAnnounced(delivered, { purpose: 'cut_over', owner: 'rotation' }, CONTEXT).record),
    ],
  ])('refused, while %s: it is rolled back', (_, earlier) => {
    const change = answer(earlier, REFUSED);
    expect(change.record).toMatchObject({ rotation: { phase: { name: 'reverting', kid: 'b' } }, retirements: [] });
    expect(change.record.rotation?.before).toEqual(shown(['a']));
  });

  it('refused after a compromise: another key, which nobody has to prove anything about', () => {
    const change = answer(sent(leaked), REFUSED);
    expect(change.record).toMatchObject({
      halted: null,
      rotation: { phase: { name: 'requested' }, before: null },
      retirements: [{ kid: 'b', role: 'discarded', phase: 'refused' }],
    });
  });

  it('refused after a compromise, with an earlier one that may have arrived: that key has to be refused', () => {
    const { record: next } = answer(sent(answer(sent(leaked), UNKNOWN).record), REFUSED);
    expect(next.retirements).toMatchObject([{ kid: 'b', role: 'discarded', phase: 'withdrawing' }]);
    expect(next.rotation).toMatchObject({ phase: { name: 'requested' }, before: shown(['a']) });
  });

  it('refused after a compromise, for the third key: failed where nothing was sent, else a person has to look', () => {
    const failed = answer(sent(withRotation(leaked, { keysMade: 3 })), REFUSED);
    expect(failed.record).toMatchObject({ rotation: null, halted: null });
    expect(failed.ended).toMatchObject([{ state: 'failed' }]);
    const halted = answer(sent(sent(withRotation(leaked, { keysMade: 3 }))), REFUSED);
    expect(halted.record).toMatchObject({
      halted: 'the server refused the PATCH (400): no',
      rotation: { phase: { name: 'delivered' } },
    });
  });

  it('refused on a rollback: a person has to look', () => {
    const change = answer(sent(rotating('cutover', 'reverting')), REFUSED);
    expect(change.record).toMatchObject({ halted: 'the server refused the PATCH (400): no', rotation: { id: 'r1' } });
  });

  it('refused while an old key is withdrawn: that key is tried again later, and nothing else is', () => {
    const under = { ...withdrawing, rotation: rotating('overlap', 'stored').rotation };
    const change = answer(sent(under), REFUSED);
    expect(change.record).toMatchObject({
      halted: null,
      rotation: under.rotation,
      retirements: [{ phase: 'withdrawing', tries: { failed: 1, refused: 1 } }],
    });
  });

  it('refused on a repair: tried again later', () => {
    const { record: next } = answer(sent(seeing(enrolledRecord(), { keys: [] })), REFUSED);
    expect(next).toMatchObject({ halted: null, server: { tries: { failed: 1, refused: 1 } } });
  });

  it('not found: a person has to look', () => {
    expect(answer(sent(withdrawing), NOT_FOUND).record.halted).toMatch(/404/);
    expect(answer(record, NOT_FOUND).record).toMatchObject({
      halted: expect.stringMatching(/404/),
      rotation: { id: 'r1' },
    });
  });

  it('throttled costs no attempt', () => {
    expect(answer(record, THROTTLED).record).toMatchObject({
      rotation: { tries: tries({ notBefore: START + 60_000, error: 'slow' }) },
      server: { inFlight: null },
    });
  });

  it.each<[string, PatchOutcome, string]>([
    ['credential', CREDENTIAL, 'who?'],
    ['forbidden', FORBIDDEN, 'not yours'],
  ])('%s: the server did nothing, and the rotation is tried again later', (_, outcome, error) => {
    expect(answer(record, outcome).record).toMatchObject({
      halted: null,
      server: { inFlight: null },
      rotation: { phase: { name: 'delivered' }, tries: { failed: 1, refused: 0, error } },
    });
  });

  it('forbidden as often as the policy has attempts: the rotation fails, and its key was never published', () => {
    const last = sent(withRotation(delivered, { tries: tries({ failed: POLICY.attempts - 1 }) }));
    const change = answer(last, FORBIDDEN);
    expect(change.record).toMatchObject({ rotation: null, retirements: [{ kid: 'b', phase: 'refused' }] });
    expect(change.ended).toMatchObject([{ state: 'failed', error: 'gave up after 4 attempts: not yours' }]);
  });

  it('unknown: the same bytes again, after a while', () => {
    const { record: next } = answer(record, UNKNOWN);
    expect(next).toMatchObject({
      server: { inFlight: record.server.inFlight },
      rotation: { tries: { failed: 1, notBefore: START + 500 } },
    });
    expect(plan(next, POLICY, START + 500)).toEqual({
      do: 'patch',
      document: onlyB,
      purpose: 'cut_over',
      owner: 'rotation',
    });
  });

  it.each<[string, PatchOutcome]>([
    ['done', done('b')],
    ['throttled', THROTTLED],
    ['credential', CREDENTIAL],
    ['forbidden', FORBIDDEN],
  ])('%s: one with the same bytes that was sent before may still arrive', (_, outcome) => {
    const again = sent(answer(record, UNKNOWN).record);
    expect(answer(again, outcome).record.server.inFlight).toEqual(again.server.inFlight);
  });
});

describe('the document stands', () => {
  it('what was to be withdrawn is withdrawn with it, whoever it was sent for', () => {
    const worn = { tries: tries({ failed: 3, notBefore: START + 1, error: 'x' }) };
    const under: ClientRecord = {
      ...rotating('cutover', 'delivered'),
      retirements: [retirement('withdrawing', { kid: null, ...worn })],
    };
    const { record } = settled(under, { purpose: 'cut_over', owner: 'rotation' }, contextAt(START + 9));
    expect(record).toMatchObject({
      rotation: { phase: { name: 'cut_over' } },
      retirements: [{ phase: 'withdrawn', until: START + 9, tries: tries({}) }],
      server: { confirmedAt: START + 9, tries: tries({}) },
    });
  });

  it('a withdrawal is told in the name of the rotation that replaced the key', () => {
    const change = settled(withdrawing, sending(withdrawing), CONTEXT);
    expect(change.entries).toMatchObject([{ type: 'key.published', rotation: 'r0', data: { purpose: 'withdraw' } }]);
  });

  it('after a rollback the rotation is over, and its key has to be proven refused', () => {
    const record = rotating('cutover', 'reverting');
    const change = settled(record, sending(record), CONTEXT);
    expect(change.record).toMatchObject({
      rotation: null,
      retirements: [{ role: 'discarded', kid: 'b', phase: 'withdrawn', until: START }],
    });
    expect(change.ended).toMatchObject([{ state: 'rolled_back', error: 'the proof failed', endedAt: START }]);
    expect(typesOf(change)).toEqual(['key.published', 'rotation.rolled_back']);
  });

  it('also when it is a set that we serve', () => {
    const record = withServer(rotating('overlap', 'delivered', {}, { format: 'jwks_uri' }), {
      served: [servedKey('a'), servedKey('b')],
    });
    const next = settled(record, { purpose: 'publish', owner: 'rotation' }, CONTEXT).record;
    expect(next.rotation).toMatchObject({ phase: { name: 'published' } });
  });

  it.each<PhaseName>(['requested', 'stored', 'published', 'cut_over', 'proven'])(
    'moves no rotation that does not wait for it (%s)',
    (phase) => {
      const record = rotating(phase === 'published' ? 'overlap' : 'cutover', phase, {
        retirements: [retirement('withdrawing', { kid: null })],
      });
      expect(settled(record, sending(record), CONTEXT).record.rotation).toEqual(record.rotation);
    },
  );
});

describe('a set that we serve', () => {
  it('is known once it is written, and not before', () => {
    const record = withServer(enrolledRecord(), { served: [servedKey('a')] });
    const { record: next, entries } = servingAnnounced(record, { purpose: 'repair', owner: 'server' }, CONTEXT);
    expect(next.server.served).toBeNull();
    expect(entries).toMatchObject([{ type: 'key.publishing', rotation: null, data: { kids: ['a'], served: true } }]);
    const worn = withServer(next, { tries: tries({ failed: 2, error: 'full' }) });
    expect(served(worn, [servedKey('a')], 'server').record.server).toMatchObject({
      served: [servedKey('a')],
      tries: tries({}),
    });
  });
});

it('an intent says which attempt it is, in the name of the one who waits for it', () => {
  const worn = withServer(withRotation(delivered, { tries: tries({ failed: 2 }) }), {
    inFlight: inFlight(onlyB, START),
  });
  const { record, entries } = announced(worn, sending(worn), { now: START, deadline: START + 10_000, policy: POLICY });
  expect(entries).toMatchObject([
    { type: 'key.publishing', rotation: 'r1', data: { purpose: 'cut_over', kids: ['b'], alg: 'ES256', attempt: 3 } },
  ]);
  expect(record.server.inFlight).toMatchObject({ deadline: START + 10_000, again: true });
});

describe('a PATCH that failed has an entry', () => {
  const refusedBy = (outcome: PatchOutcome) =>
    answer(sent(delivered), outcome).entries.find(({ type }) => type === 'key.publish_failed')?.data;

  it.each<[string, PatchOutcome, object]>([
    ['refused', REFUSED, { class: 'refused', status: 400, error: 'no' }],
    ['not found', NOT_FOUND, { class: 'refused', status: 404, error: 'gone' }],
    ['by a refused API key', CREDENTIAL, { class: 'credential', status: 401, error: 'who?' }],
    ['forbidden', FORBIDDEN, { class: 'forbidden', status: 403, error: 'not yours' }],
    ['throttled', THROTTLED, { class: 'throttled', status: 429, error: 'slow' }],
    ['by a gateway', UNKNOWN, { class: 'unknown', status: 502, error: 'upstream' }],
    ['without an answer', { class: 'unknown', status: null, message: 'lost' }, { class: 'unknown', status: null }],
    ['read back as something else', done('a'), { class: 'conflict', status: 200 }],
  ])('%s', (_, outcome, data) => {
    expect(refusedBy(outcome)).toMatchObject({ purpose: 'cut_over', attempt: 1, duration_ms: 12, times: 1, ...data });
  });

  it('and one that succeeded has none', () => {
    expect(refusedBy(done('b'))).toBeUndefined();
  });

  it('ten times in a row, then once an hour, and no failure is left uncounted', () => {
    const everyMs = 60_000;
    const days = 3;
    let record = sent(withdrawing);
    const told: unknown[] = [];
    const tries = (days * 86_400_000) / everyMs;
    for (let time = 0; time < tries; time += 1) {
      // Two classes by turns: a row is no shorter for that.
      const { entries, record: next } = answer(record, time % 2 === 0 ? UNKNOWN : THROTTLED, START + time * everyMs);
      told.push(...entries.filter(({ type }) => type === 'key.publish_failed').map(({ data }) => data.times));
      record = sent(next);
    }
    expect(told.slice(0, 12)).toEqual([...Array(10).fill(1), 60, 60]);
    expect(told).toHaveLength(10 + days * 24 - 1);
    const { failing } = record.server;
    expect(told.reduce((sum: number, times) => sum + Number(times), failing?.untold ?? 0)).toBe(tries);
    const mended = settled(record, sending(record), contextAt(START + tries * everyMs)).record;
    expect(mended.server.failing).toBeUndefined();
  });
});
