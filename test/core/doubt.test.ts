/** Records of a store that was rolled back, or took the place of a lost one: nothing is done by them before the server was looked at. */
import { describe, expect, it } from 'vitest';
import type { ObservedClient } from '../../src/core/document.ts';
import { isScheduled, whyDue } from '../../src/core/due.ts';
import { observed } from '../../src/core/enrolment.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import {
  client,
  DAY,
  enrolledRecord,
  MINUTE,
  POLICY,
  published,
  publishedPem,
  retirement,
  retiringRecord,
  rotating,
  SERVED_URI,
  START,
  seeing,
  tries,
  typesOf,
  withServer,
} from './support.ts';

const doubt = (record: ClientRecord): ClientRecord => ({ ...record, doubted: true });
const look = (record: ClientRecord, seen: Partial<ObservedClient>) =>
  observed(doubt(record), client(seen), POLICY, START + 1);

describe('a record that may tell what was', () => {
  it.each<[string, ClientRecord]>([
    ['at rest', enrolledRecord()],
    ['with a key to make', rotating('overlap', 'requested')],
    ['with a document to send', rotating('cutover', 'delivered')],
    ['with a key to destroy', retiringRecord(retirement('refused'))],
    ['that waits for a person', rotating('cutover', 'cut_over', { halted: 'look' })],
  ])('asks for nothing but a look: %s', (_, record) => {
    expect(plan(doubt(record), POLICY, START)).toEqual({ do: 'look', owner: 'server' });
  });

  it('is looked at again in its own time', () => {
    const record = withServer(doubt(enrolledRecord()), { tries: tries({ failed: 1, notBefore: START + MINUTE }) });
    expect(plan(record, POLICY, START)).toEqual({ do: 'wait', until: START + MINUTE, why: 'backing off' });
  });

  it('is rotated by no schedule, whatever the policy says', () => {
    const record = doubt(enrolledRecord());
    for (const adopt of ['import', 'take_over'] as const) {
      expect(isScheduled(record, { ...POLICY, adopt })).toBe(false);
      expect(whyDue(record, { ...POLICY, adopt }, START + 90 * DAY)).toBeNull();
    }
  });
});

describe('it is believed again', () => {
  const later = '2026-02-02T00:00:00Z';
  it.each<[string, ClientRecord, Partial<ObservedClient>]>([
    ['when nothing was written since', enrolledRecord(), { keys: [published('a')] }],
    [
      'when the active key still stands',
      enrolledRecord(),
      { keys: [published('x'), published('a')], updatedAt: later },
    ],
    ['also in another form', enrolledRecord(), { keys: [publishedPem('a')], updatedAt: later }],
    ['in the middle of a rotation', rotating('overlap', 'published'), { keys: [published('a')], updatedAt: later }],
  ])('%s', (_, record, seen) => {
    const change = look(record, seen);
    expect(change.entries).toEqual([]);
    expect(change.record).toEqual(seeing(record, client(seen), START + 1));
  });
});

describe('it is a found client again', () => {
  const later = { keys: [published('c')], updatedAt: '2026-02-02T00:00:00Z' };
  const served = { keys: [], jwksUri: SERVED_URI };
  it.each<[string, ClientRecord, Partial<ObservedClient>]>([
    ['when the active key was replaced', enrolledRecord(), later],
    [
      'when its set is served, which the server does not show',
      withServer(enrolledRecord(), { format: 'jwks_uri' }),
      served,
    ],
    // Its first rotation to a served set withdrew the active key there; the set beside the address is the one from before.
    ['when the lost store began to serve its set', enrolledRecord(), { ...served, keys: [published('a')] }],
    ['when it was about to be', rotating('overlap', 'published', {}, { format: 'jwks_uri' }), served],
  ])('%s', (_, record, seen) => {
    const change = look(record, seen);
    expect(change.record).toMatchObject({
      enrolment: 'found',
      keys: [],
      rotation: null,
      retirements: [],
      halted: null,
      server: { format: null, confirmedAt: null, inFlight: null, observed: { client: seen } },
    });
    expect(change.record).not.toHaveProperty('doubted');
    expect(typesOf(change)).toContain('client.found');
    expect(plan(change.record, POLICY, START + 2)).toEqual({ do: 'done' });
  });

  it('and what was under way has failed', () => {
    const record = { ...rotating('cutover', 'cut_over'), retirements: [retirement('withdrawn', { kid: null })] };
    const change = look(record, later);
    expect(change.ended).toMatchObject([
      { id: 'r0', state: 'failed', endedAt: START + 1 },
      { id: 'r1', state: 'failed', endedAt: START + 1 },
    ]);
    expect(typesOf(change)).toEqual(['rotation.failed', 'rotation.failed', 'client.found']);
  });

  it('and what it knew of compromised keys stays known', () => {
    const leaked = { id: 'id-x', kid: 'x', at: START, compromised: true };
    expect(look({ ...enrolledRecord(), former: [leaked] }, later).record.former).toEqual([leaked]);
  });
});
