import { expect, test } from 'vitest';
import type { AuditEntry } from '../../src/core/audit.ts';
import { makeReference } from '../../src/core/client.ts';
import { AUDIT_TYPES, eventOf, lineOf, severityOf } from '../../src/core/event.ts';
import { isTooOld, isWanted, MOST_WISHED_MS, retryDelay } from '../../src/core/webhook.ts';

const client = makeReference('185', 'mcp-auth', '4711');
const entry: AuditEntry = {
  ...{ seq: 7, time: '2026-11-27T10:00:00.000Z', type: 'rotation.failed', client, rotation: 'r1', actor: 'cli:jane' },
  ...{ reason: 'no answer', data: { step: 'publish', status: 500, reason: 'not this one' }, prev: 'aa', hash: 'bb' },
};

test('an event has the members of its contract, and no other than those that the entry brings', () => {
  expect(eventOf(entry, 'team-payments')).toEqual({
    type: 'rotation.failed',
    timestamp: '2026-11-27T10:00:00.000Z',
    data: {
      ...{ seq: 7, client, rotation: 'r1', actor: 'cli:jane', claimed_by: null, reason: 'no answer' },
      ...{ owner: 'team-payments', step: 'publish', status: 500 },
    },
  });
  expect(eventOf({ ...entry, claimed_by: 'os:jane' }, null).data).toMatchObject({ claimed_by: 'os:jane', owner: null });
});

test('every type has a line of its own for people', () => {
  const lines = AUDIT_TYPES.map((type) => lineOf(eventOf({ ...entry, type: type as AuditEntry['type'] }, null)));
  expect(new Set(lines).size).toBe(AUDIT_TYPES.length);
  expect(lineOf(eventOf(entry, 'team-payments'))).toBe(
    'A rotation failed: 185/mcp-auth/4711, owned by team-payments. Reason: no answer (by cli:jane)',
  );
  expect(lineOf(eventOf({ ...entry, client: null }, null))).toBe('A rotation failed. Reason: no answer (by cli:jane)');
});

test('an entry of a newer version, which a worker meets during an upgrade, is told by its type', () => {
  const event = eventOf({ ...entry, type: 'client.renamed' as AuditEntry['type'] }, null);
  expect([lineOf(event), severityOf(event)]).toEqual([
    'client.renamed: 185/mcp-auth/4711. Reason: no answer (by cli:jane)',
    'info',
  ]);
});

test.each<[boolean, Partial<AuditEntry>, string[], string[]]>([
  [true, {}, [], []],
  [true, {}, ['rotation.failed'], []],
  [true, {}, ['key.*', 'rotation.*'], []],
  [false, {}, ['rotation.failing', 'key.*'], []],
  [false, { type: 'key.stored' }, ['rotation.*'], []],
  [true, {}, [], ['185/other', '185/mcp-auth']],
  [true, {}, [], [client]],
  [false, {}, [], ['185/mcp-aut', '185/mcp-auth/471']],
  [true, { client: null }, [], ['185/other']],
  [false, {}, ['key.*'], ['185/mcp-auth']],
  [false, { type: 'audit.sealed', client: null }, [], []],
  [true, { type: 'audit.sealed', client: null }, ['audit.*'], []],
])('wanted: %s, for %j with events %j and only %j', (wanted, changes, events, only) => {
  expect(isWanted({ ...entry, ...changes }, { events, only })).toBe(wanted);
});

test('tries become rarer, up to an hour apart, and a receiver may ask for more, up to a bound', () => {
  const planned = [1, 2, 3, 4, 5, 6, 7, 50].map((tries) => retryDelay(tries, 0.5));
  expect(planned).toEqual([5_000, 30_000, 120_000, 300_000, 900_000, 1_800_000, 3_600_000, 3_600_000]);
  expect([retryDelay(1, 0), retryDelay(1, 1)]).toEqual([4_500, 5_500]);
  expect(retryDelay(1, 0.5, 60_000)).toBe(60_000);
  expect(retryDelay(3, 0.5, 60_000)).toBe(120_000);
  expect(retryDelay(1, 0.5, 30 * 86_400_000)).toBe(MOST_WISHED_MS);
  const at = Date.parse(entry.time);
  expect([isTooOld(entry, at + 999, 1_000), isTooOld(entry, at + 1_000, 1_000)]).toEqual([false, true]);
});
