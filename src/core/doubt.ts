/**
 * Records of a store that was rolled back, or that replaced a lost one, may be outdated. The store may say that A is active while the lost one had replaced A
 * by B, and applications sign with B.
 */
import { type ObservedClient, showsTheSame } from './document.ts';
import { activeKey, holds, keyOf } from './keys.ts';
import type { ClientRecord } from './record.ts';
import { runningSummary } from './rotation.ts';
import { newServerSide } from './server.ts';
import { shownNames } from './shown.ts';
import { NOTHING_DELIVERED } from './signers.ts';
import { entry, type Transition, UPKEEP } from './transition.ts';
import { NO_TRIES } from './tries.ts';
import { counted } from './wave.ts';

const WHY =
  'this store was rolled back or replaced a lost one, and the server shows another key than the active one in its record';

/** @param next the record with what the server shows now; `before`: as it was */
export function resolveDoubt(before: ClientRecord, next: ClientRecord, now: number): Transition {
  const { doubted: _, ...record } = next;
  return isStillTrue(before, next.server.observed.client) ? { record, entries: [] } : foundAgain(record, now);
}

/**
 * The record says that A is active, or offered. That is still true when the client was not changed since, or when the server shows A: A signs in, even if a lost store
 * added B to it. When the server shows B alone, the record is outdated. A server with a `jwks_uri` does not show which keys it takes, whatever set stands
 * beside the address: the lost store may have set it, so the record is not believed.
 */
function isStillTrue(record: ClientRecord, client: ObservedClient): boolean {
  const { rotation } = record;
  const ours = rotation?.phase.name === 'offered' ? keyOf(record, rotation.phase.kid) : activeKey(record);
  if (record.server.format === 'jwks_uri' || rotation?.format === 'jwks_uri') return false;
  if (showsTheSame(record.server.observed.client, client)) return true;
  return client.jwksUri === null && ours !== undefined && client.keys.some((shown) => holds(shown, ours.id));
}

/** As one that is seen for the first time: the key in use is not ours to replace. The private halves stay in the store. */
function foundAgain(record: ClientRecord, now: number): Transition {
  const { rotation, retirements, server, keys } = record;
  const { client } = server.observed;
  const running = rotation === null ? [] : [runningSummary(record, rotation)];
  const taken = rotation?.rollsBack === undefined ? [] : [rotation.rollsBack];
  const leaving = [...retirements, ...taken].flatMap((old) => (old.role === 'replaced' ? [old.rotation] : []));
  const ended = [...leaving, ...running].map((summary) => ({
    ...summary,
    state: 'failed' as const,
    endedAt: now,
    error: WHY,
  }));
  const { standby: _, drift: __, settled: ___, restores: ____, ...known } = record;
  const next: ClientRecord = {
    ...known,
    enrolment: 'found',
    keys: [],
    rotation: null,
    retirements: [],
    server: newServerSide(client, now),
    signers: { delivered: NOTHING_DELIVERED, tries: NO_TRIES },
    failure: null,
    halted: null,
  };
  const kids = keys.map(({ kid }) => kid);
  const told = entry(next, UPKEEP, 'client.found', {
    client_id: client.clientId,
    alg: client.alg,
    kids,
    ...shownNames(client),
    error: WHY,
  });
  const failed = ended.map((summary) =>
    entry(next, summary, 'rotation.failed', { kid: summary.kid, outcome: 'failed', error: WHY }),
  );
  return { record: next, entries: [...failed, told], ended, ...(rotation !== null && counted(rotation, 'failed')) };
}
