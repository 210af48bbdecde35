/** A key that may have leaked: what a report of it does to a record. */
import { describe, expect, it } from 'vitest';
import { reportOf } from '../../src/core/begin.ts';
import { foreignKeys } from '../../src/core/desired.ts';
import { fail } from '../../src/core/ending.ts';
import { NOTHING_KNOWN } from '../../src/core/findings.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import { NO_TRIES } from '../../src/core/tries.ts';
import {
  asked,
  CONTEXT,
  client,
  discard,
  enrolledRecord,
  foundRecord,
  HOUR,
  idOf,
  key,
  OPERATOR,
  type PhaseName,
  POLICY,
  published,
  publishedPem,
  retirement,
  retiringRecord,
  rotating,
  START,
  seeing,
  stateOf,
  tries,
  typesOf,
  unreadable,
} from './support.ts';

const compromise = (record: ClientRecord, kid: string | null, id = 'c1') =>
  request(record, asked(id, { kid }), POLICY, START);

describe('a compromised key', () => {
  it('is replaced by a cutover at once', () => {
    const { record, entries } = compromise(enrolledRecord(), null);
    expect(record.rotation).toMatchObject({ strategy: 'cutover', compromised: { kid: null } });
    expect(entries[0]).toMatchObject({ type: 'rotation.requested', data: { compromised: true } });
  });

  it.each([
    [true, true, true],
    [true, false, undefined],
    [false, true, undefined],
  ])('keeps its standby key when each report says so: %s, then %s', (first, second, kept) => {
    const report = (record: ClientRecord, id: string, keepStandby: boolean) =>
      request(record, { ...asked(id, { kid: null }), keepStandby }, POLICY, START).record;
    const record = report(report(enrolledRecord(), 'c1', first), 'c2', second);
    expect(record.rotation?.keepStandby).toBe(kept);
  });

  it.each<[PhaseName, PhaseName]>([
    ['requested', 'requested'],
    ['stored', 'stored'],
    ['delivered', 'delivered'],
    ['published', 'delivered'],
    ['proven', 'delivered'],
  ])('turns an overlap that is %s into a cutover that is %s', (from, to) => {
    const { record, rotation } = compromise(rotating('overlap', from), 'a');
    expect(rotation).toBe('r1');
    expect(record).toMatchObject({
      rotation: { strategy: 'cutover', phase: { name: to }, compromised: { kid: 'a' } },
      retirements: [],
    });
  });

  it.each<[string, ClientRecord, string | null]>([
    ['that is named itself', rotating('cutover', 'cut_over'), 'b'],
    ['that signers may be using already', rotating('overlap', 'proven'), null],
    ['that is being taken back', rotating('cutover', 'reverting'), 'a'],
    ['that got the client halted', rotating('cutover', 'cut_over', { halted: 'look' }), 'a'],
  ])('throws away a new key %s, for another, and lets it be proven refused', (_, from, kid) => {
    const { record } = compromise(from, kid);
    expect(record).toMatchObject({
      halted: null,
      rotation: { phase: { name: 'requested' }, keysMade: 0 },
      retirements: [{ role: 'discarded', kid: 'b', rotation: { id: 'r1' }, phase: 'withdrawing' }],
    });
    expect(plan(record, POLICY, START)).toMatchObject({ do: 'generate' });
  });

  it('makes the other key in a form that was seen to work', () => {
    const tried = rotating('cutover', 'cut_over', {}, { alg: 'RS256', format: 'pem', tryAlg: true });
    const policy = { ...POLICY, alg: 'RS256', format: 'keep', facts: NOTHING_KNOWN } as const;
    const { record } = request(tried, asked('c1', { kid: 'b' }), policy, START);
    expect(record.rotation).toMatchObject({ phase: { name: 'requested' }, alg: 'ES256', format: 'jwks' });
  });

  it.each<[ClientPolicy['format'], Partial<ClientPolicy>, ClientPolicy['format']]>([
    ['pem', {}, 'jwks'],
    ['jwks_uri', {}, 'jwks'],
    ['pem', { foreignKeys: 'retire' }, 'pem'],
  ])('locks no application out that signs with a foreign key: format %s, %o', (format, change, chosen) => {
    const beside = enrolledRecord(client({ keys: [published('a'), published('foreign-1')] }));
    const { record } = request(beside, asked('c1', { kid: null }), { ...POLICY, format, ...change }, START);
    expect(record.rotation?.format).toBe(chosen);
  });

  it('throws away a new key that was never sent without asking the server about it', () => {
    const { record } = compromise(rotating('cutover', 'delivered'), 'b');
    expect(record.retirements).toMatchObject([{ role: 'discarded', kid: 'b', phase: 'refused' }]);
    expect(stateOf(record, 'b')).toBe('compromised');
  });

  it.each([['b'], [null]])('that a cutover has proven is the one in use, and replaced like one (%s)', (kid) => {
    const { record, entries, rotation } = compromise(rotating('cutover', 'proven'), kid);
    expect(rotation).toBe('c1');
    expect(stateOf(record, 'b')).toBe('active');
    expect(record).toMatchObject({
      rotation: { id: 'c1', compromised: { kid }, phase: { name: 'requested' } },
      retirements: [{ kid: 'a', rotation: { id: 'r1' }, phase: 'withdrawn' }],
    });
    expect(entries.map(({ type }) => type)).toEqual([
      'key.activated',
      'key.deactivated',
      'rotation.requested',
      'rotation.started',
    ]);
  });

  it('that is reported a second time is not the new one', () => {
    const under = rotating('cutover', 'proven', {}, { compromised: { kid: null } });
    const { record, rotation } = compromise(under, null);
    expect(rotation).toBe('r1');
    expect(record.rotation?.phase).toEqual(under.rotation?.phase);
  });

  it('that was thrown away may still be published: when no other takes its place, a person has to look', () => {
    const { record } = compromise(rotating('cutover', 'cut_over'), 'b');
    if (record.rotation === null) throw new Error('there should be a rotation');
    expect(fail(record, record.rotation, 'no luck', CONTEXT).record).toMatchObject({
      halted: 'no luck',
      retirements: [{ kid: 'b' }],
    });
  });

  it('that is on its way out already has to hurry, and so has everything beside it', () => {
    const slow = retirement('overlap', {
      until: START + HOUR,
      tries: tries({ failed: 3, notBefore: START + HOUR }),
    });
    const from = retiringRecord(slow, { retirements: [slow, { ...discard('c', 'withdrawn'), until: START + HOUR }] });
    const { record, entries, rotation } = compromise(from, 'a');
    expect(rotation).toBe('r0');
    expect(record).toMatchObject({
      rotation: null,
      retirements: [{ until: START, tries: { failed: 0, notBefore: 0 } }, { until: START }],
    });
    expect(stateOf(record, 'a')).toBe('compromised');
    expect(entries).toMatchObject([
      { type: 'rotation.requested', data: { compromised: true, kid: 'a', joins: 'r0' } },
      { type: 'key.compromised', data: { from: 'deactivated', to: 'compromised' } },
    ]);
    expect(typesOf(compromise(record, 'a', 'c2'))).toEqual(['rotation.requested']);
  });

  it('wins over a person who had ended the rotation', () => {
    const ended = rotating('cutover', 'cut_over', {}, { abandoned: OPERATOR });
    expect(compromise(ended, 'a').record.rotation).toMatchObject({ abandoned: null, compromised: { kid: 'a' } });
  });

  it('of the new key does not make the report of the one in use forgotten', () => {
    const leaked = rotating('cutover', 'delivered', {}, { compromised: { kid: null } });
    const { record } = compromise(leaked, 'b');
    expect(record.former).toMatchObject([{ kid: 'a', compromised: true }]);
    expect(record.keys.map(({ kid, state }) => [kid, state])).toEqual([
      ['a', 'active'],
      ['b', 'compromised'],
    ]);
  });

  it('that nobody knows is an error, and changes nothing', () => {
    expect(() => compromise(enrolledRecord(), 'who')).toThrow(expect.objectContaining({ code: 'not_found' }));
  });
});

describe('a compromised foreign key', () => {
  const formerIds = ({ former }: ClientRecord) => former.map(({ id, compromised }) => ({ id, compromised }));
  const leaked = [{ id: idOf('foreign-1'), compromised: true }];

  it('without a kid is called by its id, and goes alone', () => {
    const keys = [publishedPem('foreign-1'), published('foreign-2')];
    const { record } = compromise(seeing(enrolledRecord(), { keys }), idOf('foreign-1'));
    expect(record.former).toMatchObject(leaked);
    expect(foreignKeys(record)).toEqual([published('foreign-2')]);
  });

  it('can be named', () => {
    const { record } = compromise(foundRecord(), 'foreign-1');
    expect(record.rotation).toMatchObject({ compromised: { kid: 'foreign-1' } });
    expect(formerIds(record)).toEqual(leaked);
  });

  it('is the one in use where none of ours is', () => {
    expect(formerIds(compromise(foundRecord(), null).record)).toEqual(leaked);
    expect(
      formerIds(compromise(enrolledRecord(client({ keys: [published('a'), published('x')] })), null).record),
    ).toEqual([]);
  });

  it('goes under its other names and forms too', () => {
    const keys = [
      published('foreign-1'),
      published('foreign-1', 'ES256', 'alias'),
      publishedPem('foreign-1'),
      published('foreign-2'),
    ];
    const { record } = compromise(foundRecord(client({ keys })), 'alias');
    expect(foreignKeys(record)).toEqual([published('foreign-2')]);
  });

  it('is not one that shares its name', () => {
    const keys = [published('foreign-1'), published('foreign-2', 'ES256', 'named')];
    const { record } = compromise(foundRecord(client({ keys })), 'named');
    expect(foreignKeys(record)).toEqual([published('foreign-1')]);
  });

  it('stays out when it comes back later, under whatever name', () => {
    const { record } = compromise(foundRecord(), 'foreign-1');
    const back = seeing(record, { keys: [published('foreign-1', 'ES256', 'new-name'), published('x')] });
    expect(foreignKeys(back)).toEqual([published('x')]);
    expect(compromise(back, 'new-name', 'c2').rotation).toBe('c1');
  });

  it('that nobody can read goes by its name, for as long as the rotation runs', () => {
    const keys = [unreadable('odd'), unreadable('other')];
    const { record } = compromise(foundRecord(client({ keys })), 'odd');
    expect(foreignKeys(record)).toEqual([unreadable('other')]);
  });

  it('is known when it is reported again, also after the server stopped showing it', () => {
    const first = compromise(foundRecord(), 'foreign-1');
    expect(compromise(first.record, 'foreign-1', 'c2').rotation).toBe('c1');
    const gone = { ...seeing(first.record, { keys: [] }), rotation: null };
    expect(() => compromise(gone, 'foreign-1', 'c3')).toThrow(/foreign-1 is out of use.*nothing to replace/);
  });
});

describe('several keys that leaked together', () => {
  const leaked = (record: ClientRecord, ...kids: string[]) => request(record, asked('c1', { kids }), POLICY, START);
  const reportedIn = ({ entries }: ReturnType<typeof leaked>) =>
    entries.filter(({ type }) => type === 'key.compromised').map(({ data }) => data.kid);

  it('in use, on its way out and kept ready: one rotation, and none of them is waited for', () => {
    const kept = { kid: 's', leaving: null, tries: NO_TRIES };
    const calm = retiringRecord(retirement('overlap'), { standby: kept });
    const change = leaked({ ...calm, keys: [...calm.keys, key('s', 'pre-active')] }, 's', 'a', 'b');
    expect(change.record).toMatchObject({
      rotation: { id: 'c1', compromised: { kid: 'b' }, strategy: 'cutover' },
      retirements: [{ kid: 'a', until: START, rotation: { exposure: { reportedAt: START } } }],
      standby: { kid: 's', leaving: expect.any(String) },
    });
    expect(['a', 's'].map((kid) => stateOf(change.record, kid))).toEqual(['compromised', 'compromised']);
    expect(reportedIn(change).sort()).toEqual(['a', 's']);
  });

  it.each<PhaseName>(['delivered', 'published'])(
    'in use, and on its way into use (%s): another one is made',
    (phase) => {
      const change = leaked(rotating('overlap', phase), 'a', 'b');
      expect(change).toMatchObject({
        rotation: 'r1',
        record: {
          rotation: { compromised: { kid: 'a' }, phase: { name: 'requested' } },
          retirements: [{ kid: 'b', role: 'discarded' }],
        },
      });
      expect(reportedIn(change)).toEqual(['b']);
    },
  );

  it('in use, and proven by a cutover: both go, and neither waits', () => {
    const change = leaked(rotating('cutover', 'proven'), 'a', 'b');
    expect(change.record).toMatchObject({
      rotation: { id: 'c1', compromised: { kid: 'b' } },
      retirements: [{ kid: 'a', until: START, rotation: { id: 'r1', exposure: { reportedAt: START } } }],
    });
    expect(reportedIn(change)).toEqual(['a']);
    expect(stateOf(change.record, 'a')).toBe('compromised');
  });

  it('only on its way out: the key in use stays', () => {
    const change = leaked(retiringRecord(retirement('overlap')), 'a', 'long-gone');
    expect(change).toMatchObject({ rotation: 'r0', record: { rotation: null } });
    expect(stateOf(change.record, 'b')).toBe('active');
  });

  it('are refused when the client has none of them any more', () => {
    expect(() => leaked(enrolledRecord(), 'x', 'y')).toThrow(/has no key x/);
  });
});

it('a second report takes up a rotation that had used up its keys', () => {
  const worn = rotating('cutover', 'cut_over', { halted: 'look' }, { compromised: { kid: 'a' }, keysMade: 3 });
  expect(compromise(worn, 'a').record.rotation).toMatchObject({ phase: { name: 'requested' }, keysMade: 0 });
});

it.each([
  ['not told', undefined, 1_000],
  ['before now', 900, 900],
  ['ahead of us', 1_001, 1_000],
  ['no number', Number.NaN, 1_000],
])('a report counts from when it was made, and from now where that is %s', (_, askedAt, at) => {
  expect(reportOf({ kid: null }, askedAt, 1_000).at).toBe(at);
});
