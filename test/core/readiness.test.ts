/** What waits for signers, and what their reports may do. */
import { describe, expect, it } from 'vitest';
import type { Action } from '../../src/core/action.ts';
import { type Hearing, heard, isNoNews } from '../../src/core/heard.ts';
import { nextHearing } from '../../src/core/hearing.ts';
import { remember } from '../../src/core/keys.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import { delayed } from '../../src/core/readiness.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { ripen } from '../../src/core/retirement.ts';
import type { SignerReport } from '../../src/core/signers.ts';
import {
  enrolledRecord,
  foundRecord,
  HOUR,
  heldRecord,
  idOf,
  key,
  MINUTE,
  POLICY,
  published,
  retirement,
  retiringRecord,
  rotating,
  START,
  seeing,
  signersHold,
  typesOf,
} from './support.ts';

const READY: ClientPolicy = { ...POLICY, strategy: 'cutover', requireReady: 2 };
const LATER = START + 10 * MINUTE;

function report(name: string, change: Partial<SignerReport> = {}): SignerReport {
  return { name, kids: ['a', 'b'], signing: 'a', at: START, ...change };
}

const said = (...reports: readonly SignerReport[]): Hearing => ({ reports, error: null });

const hear = (record: ClientRecord, hearing: Hearing, now = START) =>
  heard(record, hearing, { policy: POLICY, now }).record;

/** A cutover whose key `b` signers have since the start. */
function delivered(change: Partial<ClientRecord> = {}): ClientRecord {
  const record = rotating('cutover', 'delivered', change);
  return {
    ...record,
    rotation: { ...record.rotation, phase: { name: 'delivered', kid: 'b', at: START } } as ClientRecord['rotation'],
  };
}

const planAt = (record: ClientRecord, at: number, policy = READY): Action => plan(ripen(record, at), policy, at);

describe('a cutover', () => {
  it('hears signers before it is sent', () => {
    expect(planAt(delivered(), START)).toEqual({ do: 'hear' });
  });

  it('waits until enough of them hold the new key, and says who does not', () => {
    const one = hear(delivered(), said(report('web-1'), report('web-2', { kids: ['a'] })));
    expect(planAt(one, START)).toEqual({
      do: 'wait',
      until: START + 1_000,
      why: '1 of 2 signers report that they hold the new key; without it: web-2',
    });
    expect(planAt(hear(delivered(), said(report('web-1'), report('web-2'))), START)).toMatchObject({ do: 'patch' });
  });

  it('does not wait where the policy asks for nobody', () => {
    expect(planAt(delivered(), START, { ...READY, requireReady: 0 })).toMatchObject({ do: 'patch' });
  });

  it('hears them again, more rarely as time goes on, and at the latest when it gives up', () => {
    const at = START + 100_000;
    expect(planAt(hear(delivered(), said(), at), at)).toMatchObject({ do: 'wait', until: at + 10_000 });
    const late = START + READY.readyTimeoutMs - 1;
    expect(planAt(hear(delivered(), said(), late), late)).toMatchObject({ until: START + READY.readyTimeoutMs });
    expect(planAt(hear(delivered(), said(), at), at + 10_000)).toEqual({ do: 'hear' });
  });

  it('fails when they are not ready in time: nothing of it was sent', () => {
    const end = START + READY.readyTimeoutMs;
    expect(planAt(delivered(), end)).toEqual({ do: 'hear' });
    expect(planAt(hear(delivered(), said(report('web-1', { at: end })), end), end)).toEqual({
      do: 'fail',
      why: '1 of 2 signers report that they hold the new key, 15 min after they could. Nothing was sent',
    });
  });

  it('is not held back once it was sent', () => {
    const sent = delivered();
    const before = { alg: 'ES256', jwksUri: null, keys: [published('a')], sentAt: START };
    expect(
      planAt({ ...sent, rotation: { ...sent.rotation, before } as ClientRecord['rotation'] }, START),
    ).toMatchObject({
      do: 'patch',
    });
  });

  it('never waits after a compromise', () => {
    const record = rotating('cutover', 'delivered', {}, { compromised: { kid: null } });
    expect(planAt(record, START)).toMatchObject({ do: 'patch', purpose: 'cut_over' });
  });

  it('says why when reports cannot be read', () => {
    const record = hear(delivered(), { reports: [], error: 'EIO' });
    expect(planAt(record, START)).toMatchObject({
      do: 'wait',
      why: expect.stringContaining('reports cannot be read: EIO'),
    });
  });

  it('does not wait for ever for a signer that keeps an older key in its overlap', () => {
    const older = delivered({
      keys: [key('a', 'active'), key('b', 'pre-active'), key('c', 'deactivated')],
      retirements: [retirement('overlap', { kid: 'c' })],
      signers: signersHold('a', 'b', 'c'),
    });
    const stuck = (at: number) => hear(older, said(report('web-1', { signing: 'c', kids: ['c'], at })), at);
    const held = { do: 'wait', why: expect.stringContaining('web-1') };
    expect(planAt(older, LATER, POLICY)).toEqual({ do: 'hear' });
    expect(planAt(stuck(LATER), LATER, POLICY)).toMatchObject(held);
    const end = LATER + POLICY.readyTimeoutMs;
    const told = delayed(stuck(end), retirement('overlap', { kid: 'c' }), 'x', end).record;
    expect(planAt(told, end, POLICY)).toMatchObject({ do: 'fail', why: expect.stringContaining('web-1') });
  });
});

describe('an overlap', () => {
  const over = retiringRecord(retirement('overlap'));
  const stuck = (at: number, change: Partial<SignerReport> = {}) =>
    hear(over, said(report('web-1', { at, ...change })), at);

  it('does not end before signers are heard', () => {
    expect(planAt(over, LATER - 1)).toMatchObject({ do: 'wait', until: LATER });
    expect(ripen(over, LATER)).toBe(over);
    expect(planAt(over, LATER)).toEqual({ do: 'hear' });
  });

  it('ends when nobody signs with the old key', () => {
    expect(ripen(hear(over, said(), LATER), LATER).retirements).toMatchObject([{ phase: 'withdrawing' }]);
    expect(ripen(stuck(LATER, { signing: 'b' }), LATER).retirements).toMatchObject([{ phase: 'withdrawing' }]);
  });

  it('goes on while a signer reports that it signs with the old key, and says which', () => {
    expect(planAt(stuck(LATER), LATER)).toEqual({
      do: 'wait',
      until: LATER + 1_000,
      why: 'the overlap goes on, because signers still sign with the old key a: web-1',
    });
  });

  it.each<[string, Partial<SignerReport>]>([
    ['is two minutes old', { at: LATER - 2 * MINUTE }],
    ['is from the future', { at: LATER + MINUTE }],
    ['is of a key that nobody knows', { signing: 'nobody', kids: ['nobody'] }],
  ])('is not held up by a report that %s', (_, change) => {
    expect(ripen(stuck(LATER, change), LATER).retirements).toMatchObject([{ phase: 'withdrawing' }]);
  });

  it('is told of once when it takes too long, and goes on', () => {
    const late = LATER + POLICY.readyTimeoutMs;
    const record = stuck(late);
    const action = planAt(record, late);
    expect(action).toMatchObject({ do: 'tell_delay', old: { kid: 'a' }, why: expect.stringContaining('web-1') });
    const told = delayed(record, retirement('overlap'), 'why', late);
    expect(told.entries).toMatchObject([
      { type: 'rotation.delayed', rotation: 'r0', data: { kid: 'a', signers: ['web-1'], error: 'why' } },
    ]);
    expect(told.record.retirements).toMatchObject([{ phase: 'overlap', tries: { error: 'why' } }]);
    expect(planAt(told.record, late)).toMatchObject({ do: 'wait' });
  });

  it('goes on for two minutes when reports cannot be read', () => {
    const deaf = (at: number) => hear(over, { reports: [], error: 'EIO' }, at);
    expect(planAt(deaf(LATER), LATER)).toMatchObject({ do: 'wait', why: expect.stringContaining('EIO') });
    const later = LATER + 2 * MINUTE;
    expect(ripen(deaf(later), later).retirements).toMatchObject([{ phase: 'withdrawing' }]);
  });

  it.each<[string, Partial<ClientRecord>]>([
    ['the old key is compromised', { keys: [key('a', 'compromised'), key('b', 'active')] }],
    [
      'a compromise is under way',
      { rotation: rotating('cutover', 'requested', {}, { compromised: { kid: null } }).rotation },
    ],
  ])('waits for nobody when %s', (_, change) => {
    expect(ripen({ ...stuck(LATER), ...change }, LATER).retirements).toMatchObject([{ phase: 'withdrawing' }]);
  });

  it('of a foreign key waits for nobody: no signer can name it', () => {
    const foreign = retiringRecord(retirement('overlap', { kid: null }));
    expect(ripen(foreign, LATER).retirements).toMatchObject([{ phase: 'withdrawing' }]);
  });
});

describe('a report', () => {
  it('enrolls its held client when it signs with the imported key', () => {
    const change = heard(heldRecord(), said(report('web-1')), { policy: POLICY, now: START });
    expect(change.record.enrolment).toBe('enrolled');
    expect(change.entries).toMatchObject([
      { type: 'client.enrolled', actor: 'signer:web-1', data: { kid: 'a', from: 'held' } },
    ]);
  });

  it.each<[string, ClientRecord, Partial<SignerReport>]>([
    ['is of another key', heldRecord(), { signing: 'x', kids: ['x'] }],
    ['holds the key and signs with none', heldRecord(), { signing: null }],
    ['is old', heldRecord(), { at: START - 2 * MINUTE }],
    ['is from the future', heldRecord(), { at: START + HOUR }],
    ['is of a client whose key is not ours', foundRecord(), { signing: 'foreign-1', kids: ['foreign-1'] }],
  ])('enrolls nobody when it %s', (_, record, change) => {
    const { entries, record: after } = heard(record, said(report('web-1', change)), { policy: POLICY, now: START });
    expect({ entries, enrolment: after.enrolment }).toEqual({ entries: [], enrolment: record.enrolment });
  });

  it('changes nothing else, whatever it says', () => {
    const before = rotating('overlap', 'published');
    const { signers, ...rest } = hear(before, said(report('web-1', { kids: ['a', 'b', 'x'], signing: 'x' })));
    const { signers: was, ...others } = before;
    expect(rest).toEqual(others);
    expect(signers).toEqual({
      ...was,
      reported: { at: START, signers: [report('web-1', { signing: null })], error: null },
    });
  });

  it('of a key that is gone shows who did not follow', () => {
    const record = remember(enrolledRecord(), [{ id: idOf('z'), kid: 'z', at: START, compromised: false }]);
    expect(hear(record, said(report('web-1', { kids: ['z'], signing: 'z' }))).signers.reported?.signers).toHaveLength(
      1,
    );
  });

  it('counts on when reports cannot be read, until it is old', () => {
    const before = hear(enrolledRecord(), said(report('web-1')));
    const after = hear(before, { reports: [], error: 'EIO' }, START + MINUTE);
    expect(after.signers.reported).toEqual({
      at: START + MINUTE,
      signers: [report('web-1', { kids: ['a'] })],
      error: 'EIO',
    });
  });

  it('is one of 64 at most', () => {
    const many = Array.from({ length: 200 }, (_, index) => report(`web-${index}`));
    expect(hear(enrolledRecord(), said(...many)).signers.reported?.signers).toHaveLength(64);
  });
});

describe('what is committed', () => {
  const before = hear(delivered(), said(report('web-1')));
  it.each<[string, ClientRecord, boolean]>([
    ['the same, said later', hear(before, said(report('web-1', { at: START + 1_000 })), START + 1_000), true],
    ['the same after a minute', hear(before, said(report('web-1', { at: START + MINUTE })), START + MINUTE), false],
    ['another key', hear(before, said(report('web-1', { signing: 'b' })), START + 1_000), false],
    ['one more signer', hear(before, said(report('web-1'), report('web-2')), START + 1_000), false],
    ['that they cannot be read', hear(before, { reports: [], error: 'EIO' }, START + 1_000), false],
    ['and another change', seeing(hear(before, said(report('web-1')), START + 1_000), {}), false],
  ])('%s', (_, after, isNone) => {
    expect(isNoNews(before, after)).toBe(isNone);
  });
});

it('a clock that was set back puts no hearing off', () => {
  const record = hear(delivered(), said(), START + HOUR);
  expect(nextHearing(record, START, START)).toBe(START);
});

it('says who enrolled nobody twice', () => {
  expect(typesOf(heard(enrolledRecord(), said(report('web-1')), { policy: POLICY, now: START }))).toEqual([]);
});
