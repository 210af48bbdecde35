import { describe, expect, it } from 'vitest';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import { commitOf } from '../../src/rotation/commit.ts';
import {
  asked,
  client,
  DAY,
  enrolledRecord,
  foundRecord,
  heldRecord,
  POLICY,
  published,
  retirement,
  retiringRecord,
  SERVED_URI,
  START,
  seeing,
  servedKey,
  signersHold,
  summary,
  takenOver,
  withServer,
} from '../core/support.ts';

const FROM = { op: 'op-1', claim: '', carried: [] };

const commitFor = (record: ClientRecord, policy = POLICY) =>
  commitOf({ record, entries: [] }, policy, { from: FROM, durable: false });

const openOf = (record: ClientRecord) => commitFor(record).open;

/** A client that has come to rest on a set that we serve. */
const served = withServer(enrolledRecord(), {
  format: 'jwks_uri',
  observed: { client: client({ keys: [published('a')], jwksUri: SERVED_URI }), at: START },
  confirmedAt: START,
  served: [servedKey('a')],
});

describe('a client is unfinished', () => {
  it('until what is served is known to be right', () => {
    expect(openOf(served)).toBe(false);
    // A worker that stood still for long may have put an older set there.
    const unknown = withServer(served, { served: null });
    expect(openOf(unknown)).toBe(true);
    expect(openOf({ ...unknown, halted: 'a person has to look' })).toBe(false);
  });

  it('while something else is published than we want', () => {
    expect(openOf(seeing(served, { jwksUri: 'https://elsewhere.example.com/jwks' }))).toBe(true);
  });

  it('while a rotation, an old key or a delivery is under way', () => {
    expect(openOf(enrolledRecord())).toBe(false);
    expect(openOf(request(enrolledRecord(), asked('r1'), POLICY, START).record)).toBe(true);
    expect(openOf(retiringRecord(retirement('withdrawn')))).toBe(true);
    expect(openOf({ ...enrolledRecord(), signers: { ...signersHold('a'), delivered: null } })).toBe(true);
  });
});

it('lists a client as due only when a schedule may rotate it', () => {
  expect(commitFor(enrolledRecord()).dueAt).toBe(START + 30 * DAY);
  for (const record of [foundRecord(), heldRecord()]) {
    expect(commitFor(record).dueAt).toBeNull();
    expect(commitFor(record, { ...POLICY, adopt: 'take_over' }).dueAt).not.toBeNull();
  }
  expect(commitFor(seeing(enrolledRecord(), { active: false })).dueAt).toBeNull();
});

it('takes rotations that an earlier version kept in the record along, apart from those that end now', () => {
  const carried = [summary('r0', { state: 'finished' })];
  const ended = [summary('r1', { state: 'failed' })];
  const change = { record: takenOver(), entries: [], ended };
  expect(commitOf(change, POLICY, { from: { ...FROM, carried }, durable: true })).toMatchObject({ carried, ended });
});
