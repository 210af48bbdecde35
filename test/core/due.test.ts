import { describe, expect, it } from 'vitest';
import type { ObservedClient } from '../../src/core/document.ts';
import { dueAt, isScheduled, splayOffset, whyDue } from '../../src/core/due.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import {
  client,
  DAY,
  enrolledRecord,
  foundRecord,
  HOUR,
  heldRecord,
  POLICY,
  REF,
  rotating,
  START,
  seeing,
  withServer,
} from './support.ts';

const TAKE_OVER: ClientPolicy = { ...POLICY, adopt: 'take_over' };

interface Case {
  readonly record?: ClientRecord;
  readonly policy?: Partial<ClientPolicy>;
  readonly after: number;
  readonly reason: string | null;
}

function seen(change: Partial<ObservedClient>): ClientRecord {
  return seeing(enrolledRecord(), change);
}

describe('whether a client is due', () => {
  it.each<[string, Case]>([
    ['a key that is young enough stays', { after: 30 * DAY - 1, reason: null }],
    ['a key as old as rotate_every is due', { after: 30 * DAY, reason: 'too_old' }],
    ['another alg in the policy is due at once', { policy: { alg: 'RS256' }, after: 0, reason: 'algorithm_changed' }],
    ['another format in the policy is due at once', { policy: { format: 'pem' }, after: 0, reason: 'format_changed' }],
    [
      'the alg is named before the format and the age',
      { policy: { alg: 'RS256', format: 'pem' }, after: 90 * DAY, reason: 'algorithm_changed' },
    ],
    ['the format is named before the age', { policy: { format: 'pem' }, after: 90 * DAY, reason: 'format_changed' }],
    [
      'a policy that keeps what the client has finds nothing changed',
      {
        record: withServer(enrolledRecord(), { format: 'pem' }),
        policy: { alg: 'keep', format: 'keep' },
        after: 30 * DAY - 1,
        reason: null,
      },
    ],
    ['but its age', { policy: { alg: 'keep', format: 'keep' }, after: 30 * DAY, reason: 'too_old' }],
    [
      'a halted client waits for a person',
      { record: { ...enrolledRecord(), halted: 'look' }, after: 90 * DAY, reason: null },
    ],
    [
      'a client that is being rotated is not asked twice',
      { record: rotating('overlap', 'requested'), after: 90 * DAY, reason: null },
    ],
    [
      'a client that the server no longer shows as active waits until it does',
      { record: seen({ active: false }), after: 90 * DAY, reason: null },
    ],
    [
      'a client that signs in without keys has none to rotate',
      { record: seen({ authMethod: 'none' }), after: 90 * DAY, reason: null },
    ],
    [
      'a format that is not known yet says nothing',
      { record: withServer(enrolledRecord(), { format: null }), policy: { format: 'pem' }, after: 0, reason: null },
    ],
    ['a held client is left alone, however old its key', { record: heldRecord(), after: 900 * DAY, reason: null }],
    [
      'also when the policy names another alg',
      { record: heldRecord(), policy: { alg: 'RS256' }, after: 0, reason: null },
    ],
    ['a found client is left alone', { record: foundRecord(), after: 900 * DAY, reason: null }],
    [
      'unless the policy takes clients over',
      { record: heldRecord(), policy: { adopt: 'take_over' }, after: 30 * DAY, reason: 'too_old' },
    ],
    [
      'then a found one is due at once',
      { record: foundRecord(), policy: { adopt: 'take_over' }, after: 0, reason: 'never_rotated' },
    ],
    [
      'but not one that is switched off',
      { record: foundRecord(client({ active: false })), policy: { adopt: 'take_over' }, after: 0, reason: null },
    ],
  ])('%s', (_, { record = enrolledRecord(), policy, after, reason }) => {
    const due = whyDue(record, { ...POLICY, ...policy }, START + after);
    expect(due?.reason ?? null).toBe(reason);
  });

  it.each<[string, ClientRecord, boolean, boolean]>([
    ['found', foundRecord(), false, true],
    ['held', heldRecord(), false, true],
    ['enrolled', enrolledRecord(), true, true],
  ])('schedules go for a client that is %s: by import %s, by take-over %s', (_, record, byImport, byTakeOver) => {
    expect(isScheduled(record, POLICY)).toBe(byImport);
    expect(isScheduled(record, TAKE_OVER)).toBe(byTakeOver);
  });

  it('a client without a key of ours is due once, when its splay has passed', () => {
    const policy = { ...TAKE_OVER, splayMs: 6 * HOUR };
    const at = dueAt(foundRecord(), policy);
    expect(at).toBeGreaterThan(START);
    expect(whyDue(foundRecord(), policy, at - 1)).toBeNull();
    expect(whyDue(foundRecord(), policy, at)).toMatchObject({ reason: 'never_rotated' });
  });

  it('says what differs, for the audit trail', () => {
    expect(whyDue(enrolledRecord(), { ...POLICY, alg: 'RS256' }, START)?.message).toBe(
      'the active key signs ES256, the policy says RS256',
    );
    expect(whyDue(enrolledRecord(), POLICY, START + 31 * DAY)?.message).toBe(
      'the active key was due at 2026-01-31T00:00:00.000Z',
    );
  });
});

describe('the splay', () => {
  const refs = Array.from({ length: 400 }, (_, id) => `185019846023/mcp-auth/${4000 + id}`);

  it.each([0, 6 * HOUR, 10 * DAY])('of %i ms never lets a key grow older than rotate_every', (splayMs) => {
    const policy = { ...POLICY, splayMs };
    for (const id of refs) {
      const at = dueAt({ ...enrolledRecord(), ref: `${REF}${id}` as ClientRecord['ref'] }, policy);
      expect(at).toBeLessThanOrEqual(START + POLICY.rotateEveryMs);
      expect(at).toBeGreaterThan(START + POLICY.rotateEveryMs - Math.max(1, splayMs));
    }
  });

  it('longer than rotate_every still leaves half of it between two rotations', () => {
    const policy = { ...POLICY, rotateEveryMs: HOUR, splayMs: 30 * DAY };
    expect(dueAt(enrolledRecord(), policy)).toBeGreaterThan(START + HOUR / 2);
    expect(dueAt(enrolledRecord(), policy)).toBeLessThanOrEqual(START + HOUR);
  });

  it('is the same for a client each time, on every machine', () => {
    expect(splayOffset('185019846023/mcp-auth/4711', 1_000_000)).toBe(43_792);
  });

  it('spreads clients whose ids follow each other evenly', () => {
    for (const some of [refs, refs.slice(0, 40)]) {
      const fifths = [0, 1, 2, 3, 4].map((fifth) => some.filter((ref) => splayOffset(ref, 5) === fifth).length);
      expect(Math.max(...fifths)).toBeLessThan((2 * some.length) / 5);
      expect(Math.min(...fifths)).toBeGreaterThan(some.length / 5 / 3);
    }
  });

  it('of nothing moves nothing', () => {
    expect(splayOffset(REF, 0)).toBe(0);
  });
});
