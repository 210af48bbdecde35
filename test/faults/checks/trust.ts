/**
 * Clients whose applications sign in with keys of their own are left alone: no PATCH is sent for them and no rotation begins before a person says so. The
 * same holds for clients that are found again after a store was lost, and for those that were released. Where a policy offers keys, an offer may stand beside their own.
 */

import type { Evidence, StoredRecord } from '../evidence/evidence.ts';
import type { Event } from '../evidence/history.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Check, Violation } from './checker.ts';
import { intentOf } from './intents.ts';
import { carriesKeys } from './keys.ts';
import { isOffer, mayBeOffered, whyNoOffer } from './offers.ts';

/** From when to when a client was not to be touched. */
interface Stretch {
  readonly from: number;
  readonly to: number;
}

export const strangersAreLeftAlone: Check = (evidence) =>
  evidence.ends.flatMap(({ client }) => {
    const stretches = stretchesOf(client, evidence.events);
    const isWithin = (at: number) => stretches.some(({ from, to }) => at >= from && at < to);
    return [...sentFor(client, isWithin, evidence), ...changedFor(client, isWithin, evidence)];
  });

/**
 * A store that was lost takes with it that a client was entrusted, unless the one that goes on for it knows the client as enrolled, and does not find it
 * again when it looks at the server.
 */
export function stretchesOf({ ref, enrolment }: FaultClient, events: Evidence['events']): readonly Stretch[] {
  const stretches: Stretch[] = [];
  let since: number | null = enrolment === 'enrolled' ? null : Number.NEGATIVE_INFINITY;
  let isDeclared = false;
  let stored: StoredRecord['enrolment'] | null = null;
  for (const event of events) {
    stored = enrolmentAfter(event, ref, stored);
    if (event.kind === 'store' && event.what === 'declared') isDeclared = true;
    if (event.kind === 'entrusted' && event.ref === ref) {
      if (since !== null) stretches.push({ from: since, to: event.at });
      since = null;
      isDeclared = false;
    }
    if (event.kind === 'released' && event.ref === ref) since ??= event.at;
    if (isDeclared && stored !== 'enrolled') since ??= event.at;
  }
  return since === null ? stretches : [...stretches, { from: since, to: Number.POSITIVE_INFINITY }];
}

function enrolmentAfter(event: Event, ref: string, before: StoredRecord['enrolment'] | null) {
  const of = (record: string): StoredRecord['enrolment'] | null => JSON.parse(record)?.enrolment ?? null;
  if (event.kind === 'commit' && event.ref === ref) return of(event.record);
  if (event.kind === 'snapshot') return of(event.clients[ref]?.record ?? 'null');
  return event.kind === 'store' && event.how === 'emptied' ? null : before;
}

type IsWithin = (at: number) => boolean;

function sentFor(client: FaultClient, isWithin: IsWithin, evidence: Evidence): Violation[] {
  const { ref, id } = client;
  return evidence.requests.flatMap((request) => {
    if (request.client !== id || !carriesKeys(request) || !isWithin(request.at)) return [];
    // What was on its way when the store was lost had been begun before.
    const intent = intentOf(request, ref, evidence);
    if (intent !== null && !isWithin(intent.at)) return [];
    const wrong = mayBeOffered(client) ? whyNoOffer(request, client) : null;
    if (wrong !== null) return [{ rule: 'offer', ref, message: `a PATCH ${wrong}` }];
    if (mayBeOffered(client)) return [];
    return [{ rule: 'not_entrusted', ref, message: 'a PATCH for a client that nobody entrusted to rekeyd' }];
  });
}

function changedFor(client: FaultClient, isWithin: IsWithin, { events }: Evidence): Violation[] {
  const { ref } = client;
  return events.flatMap((event) => {
    if (event.kind !== 'commit' || event.ref !== ref || !isWithin(event.at)) return [];
    const record: StoredRecord = JSON.parse(event.record);
    const { enrolment, rotation } = record;
    if (mayBeOffered(client) && isOffer(record)) return [];
    if (enrolment !== 'enrolled' && rotation === null) return [];
    const message = rotation === null ? 'was enrolled, and nobody had said so' : `rotation ${rotation.id} was begun`;
    return [{ rule: 'not_entrusted', ref, message }];
  });
}
