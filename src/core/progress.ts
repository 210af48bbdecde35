/**
 * What each effect's outcome does to the record; proofs are in {@link ./proving.ts}. One function per {@link ./plan.ts} step; each returns the next
 * record and its audit entries, which the shell commits together.
 */

import { observed } from './adopt.ts';
import type { AuditData } from './audit.ts';
import { advance, type Change, entry, leftAlone, relieved, summarize } from './change.ts';
import { desiredDocument, dropForeign, publishedKeys } from './desired.ts';
import type { KeyDocument, ObservedClient, PublicJwk } from './document.ts';
import { activate, bearRefusal, giveUp, halt, rolledBack, tryAgain } from './ending.ts';
import { isPublishing, withKey } from './keys.ts';
import { type Purpose, publicationPurpose, UNSETTLED } from './plan.ts';
import type { ClientPolicy, Context } from './policy.ts';
import { readBack } from './readback.ts';
import type { ClientRecord, Delivery, ManagedKey, Rotation } from './record.ts';
import type { FailedReply } from './reply.ts';

/** Conflicting answers in a row after which a person has to look. */
const CONFLICTS_BORNE = 2;

/** The new key and its sealed private half go into the store in one commit. */
export function generated(
  record: ClientRecord,
  rotation: Rotation,
  key: Pick<ManagedKey, 'kid' | 'thumbprint' | 'alg' | 'jwk' | 'pem'>,
  { now }: Context,
): Change {
  const fresh: ManagedKey = {
    ...key,
    state: 'pre-active',
    createdAt: now,
    publishedAt: null,
    activatedAt: null,
    proof: null,
    destroyedAt: null,
  };
  const advanced = advance({ ...record, keys: [...record.keys, fresh] }, rotation, { name: 'stored', kid: key.kid });
  const next = summarize(advanced, rotation.id, { kid: key.kid });
  const data = { kid: key.kid, alg: key.alg };
  return {
    record: next,
    entries: [entry(next, 'key.generated', { ...data, from: null, to: 'pre-active' }), entry(next, 'key.stored', data)],
  };
}

/** A key that signers go without, and why it cannot be opened. */
export interface LeftOut {
  readonly kid: string;
  readonly why: string;
}

/** Signers hold what they should. In the phase `proven` that flips them to the new key, which makes it the active one. */
export function delivered(
  record: ClientRecord,
  delivery: Delivery,
  context: Context,
  leftOut: readonly LeftOut[] = [],
): Change {
  const held: ClientRecord = { ...relieved(record), delivered: delivery };
  const { rotation } = held;
  const told = entry(held, 'key.delivered', deliveryData(delivery, leftOut));
  if (rotation?.phase.name === 'stored') {
    return { record: advance(held, rotation, { name: 'delivered', kid: rotation.phase.kid }), entries: [told] };
  }
  if (rotation?.phase.name === 'proven') {
    const activated = activate(held, rotation, rotation.phase.kid, context);
    return { record: activated.record, entries: [told, ...activated.entries] };
  }
  return { record: held, entries: [told] };
}

function deliveryData({ current, next, previous }: Delivery, leftOut: readonly LeftOut[]): AuditData {
  if (leftOut.length === 0) return { current, next, previous };
  const missing = leftOut.map(({ kid }) => kid);
  const held = (kid: string | null) => (kid !== null && missing.includes(kid) ? null : kid);
  const error = leftOut.map(({ why }) => why).join(' ');
  return { current: held(current), next: held(next), previous: held(previous), left_out: missing, error };
}

/** Some sinks may hold the new set and some the old one: not known. */
export function notDelivered(record: ClientRecord, why: string, context: Context): Change {
  return tryAgain({ ...record, delivered: null }, context, why);
}

/** The intent, made durable before the PATCH. Until `deadline` the PATCH may reach the server. */
export function announced(record: ClientRecord, document: KeyDocument, purpose: Purpose, deadline: number): Change {
  const kids = publishedKeys(record).map((key) => key.kid);
  const data = { purpose, kids, alg: document.token_endpoint_auth_signing_alg, attempt: record.attempts + 1 };
  const next = { ...record, inFlight: { document, deadline, again: record.inFlight !== null } };
  return { record: next, entries: [entry(record, 'key.publishing', data)] };
}

/** The same for a set that we serve ourselves. Which set stands there is not known until it is written. */
export function servingAnnounced(record: ClientRecord, purpose: Purpose): Change {
  const kids = publishedKeys(record).map((key) => key.kid);
  const next = { ...record, served: null };
  return { record: next, entries: [entry(record, 'key.publishing', { purpose, kids, served: true })] };
}

export function served(record: ClientRecord, keys: readonly PublicJwk[], policy: ClientPolicy): Change {
  const left = mayTurnBack(record.rotation) ? record : dropForeign(record, policy);
  return { record: { ...relieved(left), served: keys }, entries: [] };
}

/** What an ordinary cutover leaves out comes back with the old key, should the new one be refused. */
function mayTurnBack(rotation: Rotation | null): boolean {
  return rotation?.strategy === 'cutover' && rotation.compromised === null && isPublishing(rotation);
}

/** What a PATCH came to; `class` as in DESIGN's table of answers. */
export type PatchOutcome =
  | { readonly class: 'done'; readonly status: number; readonly client: ObservedClient }
  | FailedReply;

export function patched(
  record: ClientRecord,
  document: KeyDocument,
  outcome: PatchOutcome,
  durationMs: number,
  context: Context,
): Change {
  switch (outcome.class) {
    case 'done':
      return answered(record, document, outcome, durationMs, context);
    case 'refused':
      return refused(answeredOnce(record), outcome, context);
    case 'credential':
      return { record: { ...answeredOnce(record), lastError: outcome.message }, entries: [] };
    case 'throttled':
      return leftAlone(answeredOnce(record), outcome.retryAfterMs, outcome.message, context);
    case 'unknown':
      return tryAgain(record, context, outcome.message);
    default:
      return outcome satisfies never;
  }
}

/** A PATCH that was answered cannot arrive later; one with the same bytes that was sent before it still can. */
function answeredOnce(record: ClientRecord): ClientRecord {
  return record.inFlight?.again ? record : { ...record, inFlight: null };
}

function answered(
  record: ClientRecord,
  document: KeyDocument,
  { client, status }: Extract<PatchOutcome, { class: 'done' }>,
  durationMs: number,
  context: Context,
): Change {
  // In this order: what a PATCH in flight has made of the client is not what the way back leads to.
  const seen = answeredOnce(observed(record, client, context.policy, context.now).record);
  const difference = readBack(document, client);
  if (difference === null) {
    const purpose = publicationPurpose(record, context.policy);
    return settled(seen, context, { purpose, status, duration_ms: Math.round(durationMs) });
  }
  const conflicts = record.conflicts + 1;
  const why = `the server answered ${status} with a document that differs from what was sent: ${difference}`;
  // Read again before anything is sent: the answer may be older than somebody else's change.
  const doubted = { ...seen, conflicts, observed: { client, at: UNSETTLED }, dropped: record.dropped ?? [] };
  if (conflicts >= CONFLICTS_BORNE) return halt(doubted, why);
  return { record: { ...doubted, lastError: why }, entries: [] };
}

function refused(
  record: ClientRecord,
  { status, message }: { status: number; message: string },
  context: Context,
): Change {
  const why = `the server refused the PATCH (${status}): ${message}`;
  const { rotation } = record;
  if (rotation?.phase.name === 'delivered') return giveUp(record, rotation, rotation.phase.kid, why, context);
  if (rotation?.phase.name === 'reverting' || status === 404) return halt(record, why);
  return bearRefusal(record, context, why);
}

/** The server holds the desired document: everything that waited for that moves on. */
export function settled(
  record: ClientRecord,
  context: Context,
  data: { purpose?: Purpose | null; status?: number; duration_ms?: number } = {},
): Change {
  const { now, policy } = context;
  const purpose = publicationPurpose(record, policy);
  const kids = publishedKeys(record).map((key) => key.kid);
  const calm: ClientRecord = {
    ...relieved(record),
    conflicts: 0,
    published: desiredDocument(record, policy),
    retiring: record.retiring.map((old) =>
      old.kind === 'overlap' && old.phase === 'withdrawing' ? { ...old, phase: 'withdrawn' as const } : old,
    ),
  };
  const { rotation } = calm;
  const told = entry(calm, 'key.published', { purpose, kids, ...data });
  switch (rotation?.phase.name) {
    case 'delivered': {
      const { kid } = rotation.phase;
      const name = rotation.strategy === 'overlap' ? ('published' as const) : ('cut_over' as const);
      return {
        record: withKey(advance(calm, rotation, { name, kid, at: now }), kid, { publishedAt: now }),
        entries: [told],
      };
    }
    case 'reverting': {
      const back = rolledBack(calm, rotation, rotation.phase.why, context);
      return { record: back.record, entries: [told, ...back.entries] };
    }
    default:
      return { record: calm, entries: [told] };
  }
}
