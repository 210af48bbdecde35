/** A few clients of one app, and what happens to them, told by hand: for the checks that look at more than one rotation. */
import type { LogEntry } from '../../emulator/log.ts';
import type { Evidence, StoredRecord } from '../evidence/evidence.ts';
import type { Event, Untimed } from '../evidence/history.ts';
import { DEPLOYMENT } from '../names.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Check } from './checker.ts';
import { BEGIN, client, endOf, old, PACE_MS, recordOf } from './subject.ts';

/** One after the other, `PACE_MS` apart; a number lets so many ms pass. */
export type Told = Untimed<Event> | number;

export const refOf = (index: number) => `${DEPLOYMENT}/overlap/${index}`;

/** @param policy of all of them */
export function fleetOf(count: number, policy: FaultClient['app']['policy']): readonly FaultClient[] {
  const app = { ...client.app, policy };
  return Array.from({ length: count }, (_, index) => ({ ...client, app, ref: refOf(index), id: `${index}` }));
}

export const snapshotOf = (count: number, record: StoredRecord): Untimed<Event> => ({
  kind: 'snapshot',
  leftAlone: {},
  clients: Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      refOf(index),
      { record: JSON.stringify(record), version: '1', op: '', claim: '', epoch: '', sealed: [] },
    ]),
  ),
});

interface Draft {
  readonly type: string;
  readonly rotation?: string;
  readonly data?: object;
}

export function commitOf(index: number, record: StoredRecord, ...drafts: readonly Draft[]): Untimed<Event> {
  const told = drafts.map((draft) => JSON.stringify({ data: {}, rotation: null, ...draft }));
  const written = { expected: { op: '', claim: '' }, op: '', version: '2', ended: [], drafts: told };
  return { kind: 'commit', ref: refOf(index), record: JSON.stringify(record), ...written };
}

export const entryOf = (type: string, data: object): Untimed<Event> => ({
  kind: 'loose_entry',
  draft: JSON.stringify({ type, client: null, rotation: null, data }),
});

/** The tick of a schedule begins a rotation. */
export function begun(index: number, rotation: string, wave?: string): Untimed<Event> {
  const started = {
    id: rotation,
    actor: 'schedule:overlap',
    strategy: 'overlap',
    compromised: null,
    phase: { name: 'requested' },
    tries: { error: null },
    ...(wave !== undefined && { wave: { policy: 'overlap', id: wave } }),
  };
  return commitOf(index, recordOf([[old, 'active']], { rotation: started }), { type: 'rotation.started', rotation });
}

export function rulesOf(
  check: Check,
  clients: readonly FaultClient[],
  told: readonly Told[],
  requests: readonly LogEntry[] = [],
  more: Partial<Evidence> = {},
): readonly string[] {
  let at = BEGIN;
  const events = told.flatMap((one): Event[] => {
    at += typeof one === 'number' ? one : PACE_MS;
    return typeof one === 'number' ? [] : [{ ...one, at } as Event]; // the member that `Untimed` took away
  });
  const evidence: Evidence = { events, requests, audit: [], auditSize: 0, ends: clients.map(endOf), ...more };
  return [...new Set(check(evidence).map(({ rule }) => rule))].sort();
}
