/** What signers hold when a cutover is sent, and what they sign with when an overlap ends. */
import { describe, expect, test } from 'vitest';
import type { LogEntry } from '../../emulator/log.ts';
import type { StoredRecord } from '../evidence/evidence.ts';
import { commitOf, fleetOf, refOf, rulesOf, type Told } from './fleets.ts';
import { signersAreAwaited } from './readiness.ts';
import { BEGIN, documentOf, fresh, kidOf, leaving, old, recordOf } from './subject.ts';

const KEYS = [
  [old, 'active'],
  [fresh, 'pre-active'],
] as const;

const FLIPPED = [
  [old, 'deactivated'],
  [fresh, 'active'],
] as const;

const LATER_MS = 10_000;

function sending(more: object = {}): StoredRecord {
  const rotation = { id: 'r', strategy: 'cutover', compromised: null, tries: { error: null } };
  return recordOf(KEYS, { rotation: { ...rotation, phase: { name: 'delivered', kid: kidOf(fresh) }, ...more } });
}

const report = (name: string, signing: string, ...kids: readonly string[]): Told => ({
  kind: 'report',
  ref: refOf(0),
  name,
  kids: [signing, ...kids],
  signing,
});

const patch = (body: object): LogEntry => ({
  at: BEGIN + LATER_MS,
  api: 'management',
  method: 'PATCH',
  path: '/clients',
  deployment: null,
  app: 'overlap',
  client: '0',
  clientId: 'oc_1',
  body,
  status: 200,
});

const ready = (name: string) => report(name, old.kid, kidOf(fresh));

const CUTOVERS: readonly (readonly [what: string, told: readonly Told[], ...rules: string[]])[] = [
  ['two hold the new key', [ready('web-1'), ready('web-2'), commitOf(0, sending())]],
  ['one holds it', [ready('web-1'), report('web-2', old.kid), commitOf(0, sending())], 'not_ready'],
  ['nobody reports', [commitOf(0, sending())], 'not_ready'],
  ['one said so when it was too late', [ready('web-1'), commitOf(0, sending()), LATER_MS, ready('web-2')], 'not_ready'],
  ['a key is reported', [commitOf(0, sending({ compromised: { kid: null } }))]],
];

describe('a cutover where two signers are waited for, and', () => {
  test.each(CUTOVERS.map(([what, told, ...rules]) => ({ what, told, rules })))('$what', ({ told, rules }) => {
    const clients = fleetOf(1, { require_ready: 2 });
    expect(rulesOf(signersAreAwaited, clients, told, [patch(documentOf(fresh))])).toEqual(rules);
  });
});

const withdrawing = commitOf(0, recordOf(FLIPPED, leaving('withdrawing')));

const OVERLAPS: readonly (readonly [what: string, told: readonly Told[], laterMs: number, ...rules: string[]])[] = [
  ['everybody signs with the new key', [report('web-1', old.kid), report('web-1', kidOf(fresh)), withdrawing], 0],
  [
    'one signs with the old key',
    [report('web-1', old.kid), report('web-2', kidOf(fresh)), withdrawing],
    0,
    'overlap_cut',
  ],
  ['one fell silent long ago', [report('web-1', old.kid), withdrawing], 200_000],
];

describe('an overlap that ends when', () => {
  test.each(OVERLAPS.map(([what, told, laterMs, ...rules]) => ({ what, told, laterMs, rules })))(
    '$what',
    ({ told, laterMs, rules }) => {
      const requests = [{ ...patch(documentOf(fresh)), at: BEGIN + LATER_MS + laterMs }];
      expect(rulesOf(signersAreAwaited, fleetOf(1, {}), told, requests)).toEqual(rules);
    },
  );
});
