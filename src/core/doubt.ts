/**
 * Records of a store that was rolled back, or that took the place of a lost one: they tell what was. Meanwhile keys may have been replaced that such a store
 * has never heard of, and applications sign with those.
 */
import type { ObservedClient } from './document.ts';
import { activeKey, holds } from './keys.ts';
import type { ClientRecord } from './record.ts';
import { runningSummary } from './rotation.ts';
import { newServerSide } from './server.ts';
import { NOTHING_DELIVERED } from './signers.ts';
import { entry, type Transition, UPKEEP } from './transition.ts';
import { NO_TRIES } from './tries.ts';

const WHY =
  'this store was rolled back or took the place of a lost one, and the server shows another key than the one that it knows as active';

/** @param next the record with what the server shows now; `before`: as it was */
export function undoubted(before: ClientRecord, next: ClientRecord, now: number): Transition {
  const { doubted: _, ...record } = next;
  return isAsItWas(before, next.server.observed.client) ? { record, entries: [] } : foundAgain(record, now);
}

/**
 * Nothing was sent since; or what was sent left the active key where it was, so that signing with it is as good as with whatever replaced it. Which keys stand
 * in a set that we serve ourselves, the server does not tell.
 */
function isAsItWas(record: ClientRecord, client: ObservedClient): boolean {
  const active = activeKey(record);
  if (record.server.format === 'jwks_uri' || record.rotation?.format === 'jwks_uri') return false;
  if (record.server.observed.client.updatedAt === client.updatedAt) return true;
  return active !== undefined && client.keys.some((shown) => holds(shown, active.id));
}

/** As one that is seen for the first time: the key in use is not ours to replace. The private halves stay in the store. */
function foundAgain(record: ClientRecord, now: number): Transition {
  const { rotation, retirements, server, keys } = record;
  const { client } = server.observed;
  const running = rotation === null ? [] : [runningSummary(record, rotation)];
  const leaving = retirements.flatMap((old) => (old.role === 'replaced' ? [old.rotation] : []));
  const ended = [...leaving, ...running].map((summary) => ({
    ...summary,
    state: 'failed' as const,
    endedAt: now,
    error: WHY,
  }));
  const next: ClientRecord = {
    ...record,
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
  const told = entry(next, UPKEEP, 'client.found', { client_id: client.clientId, alg: client.alg, kids, error: WHY });
  const failed = ended.map((summary) =>
    entry(next, summary, 'rotation.failed', { kid: summary.kid, outcome: 'failed', error: WHY }),
  );
  return { record: next, entries: [...failed, told], ended };
}
