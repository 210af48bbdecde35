/** What sending a document to the server does to the record. */
import type { Owner } from './action.ts';
import { isWithdrawn } from './adoption.ts';
import { desiredNames, droppedNames } from './desired.ts';
import type { KeyDocument, ObservedClient, PublicJwk } from './document.ts';
import { anotherKey, giveUp, halt, rolledBack } from './ending.ts';
import { observed } from './enrolment.ts';
import { marked } from './history.ts';
import { withKey } from './keys.ts';
import type { ClientPolicy, Context } from './policy.ts';
import { publishFailed, type Sender, senderOf, withoutFailing } from './publish-failure.ts';
import { readBack } from './readback.ts';
import type { ClientRecord } from './record.ts';
import type { FailedReply } from './reply.ts';
import { withRetirements } from './retirement.ts';
import { inPhase, isPublishing, type Rotation } from './rotation.ts';
import { answered, CONFLICTS_BORNE, outdated } from './server.ts';
import { failedStep, heldUpStep, refusedStep, relieved, throttledStep, triesOf, withTries } from './setback.ts';
import { andThen, entry, type Transition } from './transition.ts';
import { NO_TRIES } from './tries.ts';

/** A document on its way: why it is sent, and for whom. */
export interface Sending extends Sender {
  readonly document: KeyDocument;
}

/** The intent, made durable before the PATCH. Until `deadline` the PATCH may reach the server. */
export function announced(
  record: ClientRecord,
  { document, purpose, owner }: Sending,
  { now, deadline, policy }: { readonly now: number; readonly deadline: number; readonly policy: ClientPolicy },
): Transition {
  const { rotation, server } = record;
  const alg = document.alg;
  const attempt = triesOf(record, owner).failed + 1;
  const told = entry(record, senderOf(record, owner), 'key.publishing', {
    purpose,
    ...desiredNames(record, policy),
    ...droppedNames(record),
    alg,
    attempt,
  });
  const isFirst = rotation !== null && rotation.before === null;
  const inFlight = { document, deadline, again: server.inFlight !== null, isFirst };
  return {
    record: { ...record, rotation: sent(record, rotation, now), server: { ...server, inFlight } },
    entries: [told],
  };
}

/** The document was not sent after all. One that was sent before it may still arrive: then it stays on its way. */
export function withdrawn(intended: ClientRecord, { rotation, server: { inFlight } }: ClientRecord): ClientRecord {
  return inFlight === null ? { ...intended, rotation, server: { ...intended.server, inFlight } } : intended;
}

/** The first document of a rotation that leaves here: from now on a rollback restores what stood before it. */
function sent({ server }: ClientRecord, rotation: Rotation | null, now: number): Rotation | null {
  if (rotation === null || rotation.before !== null || !isPublishing(rotation)) return rotation;
  const { alg, jwksUri, keys } = server.observed.client;
  return { ...rotation, before: { alg, jwksUri, keys, sentAt: now } };
}

/** The same for a set that we serve ourselves. Which set stands there is not known until it is written. */
export function servingAnnounced(
  record: ClientRecord,
  { purpose, owner }: Sender,
  { now, policy }: { readonly now: number; readonly policy: ClientPolicy },
): Transition {
  const { rotation, server } = record;
  const data = { purpose, ...desiredNames(record, policy), ...droppedNames(record), served: true };
  return {
    record: { ...record, rotation: sent(record, rotation, now), server: { ...server, served: null } },
    entries: [entry(record, senderOf(record, owner), 'key.publishing', data)],
  };
}

export function served(record: ClientRecord, keys: readonly PublicJwk[], owner: Owner): Transition {
  const next = { ...record, server: { ...record.server, served: keys } };
  return { record: relieved(next, owner), entries: [] };
}

/** What a PATCH came to; `class` as in the design's table of answers. */
export type PatchOutcome =
  | { readonly class: 'done'; readonly status: number; readonly client: ObservedClient }
  | FailedReply;

/** @param record with the intent */
export function patched(
  record: ClientRecord,
  sending: Sending,
  outcome: PatchOutcome,
  durationMs: number,
  context: Context,
): Transition {
  if (outcome.class === 'done') return confirmed(record, sending, outcome, durationMs, context);
  const { class: kind, status, message: error } = outcome;
  const told = publishFailed(record, sending, { class: kind, status, error, durationMs }, context.now);
  return andThen(told, (next) => turnedAway(next, sending, outcome, context));
}

function turnedAway(record: ClientRecord, sending: Sending, outcome: FailedReply, context: Context): Transition {
  const { owner } = sending;
  switch (outcome.class) {
    case 'refused':
      return refused(turnedDown(record), sending, outcome, context);
    case 'forbidden':
      return failedStep(turnedDown(record), owner, outcome.message, context);
    case 'credential':
      return heldUpStep(turnedDown(record), owner, outcome.message, context);
    case 'throttled': {
      const { retryAfterMs: ms, message: why } = outcome;
      return throttledStep(turnedDown(record), owner, { ms, why }, context);
    }
    case 'unknown':
      return failedStep(record, owner, outcome.message, context);
    default:
      return outcome satisfies never;
  }
}

/** The server did nothing. Where no earlier document of the rotation was sent, nothing of it was ever published. */
function turnedDown(record: ClientRecord): ClientRecord {
  const { rotation, server } = record;
  const isUntouched = server.inFlight?.isFirst === true && !server.inFlight.again;
  const untouched = rotation !== null && isUntouched ? { ...rotation, before: null } : rotation;
  return { ...record, server: answered(server), rotation: untouched };
}

function confirmed(
  record: ClientRecord,
  sending: Sending,
  { client, status }: Extract<PatchOutcome, { class: 'done' }>,
  durationMs: number,
  context: Context,
): Transition {
  const { record: looked, entries: told } = observed(record, client, context.policy, context.now);
  const seen = { ...looked, server: answered(looked.server) };
  const difference = readBack(sending.document, client);
  if (difference === null) {
    const change = settled(seen, sending, context, { status, duration_ms: Math.round(durationMs) });
    return { ...change, entries: [...told, ...change.entries] };
  }
  const conflicts = record.server.conflicts + 1;
  const why = `the server answered ${status} with a document that differs from what was sent: ${difference}`;
  // The answer may be older than another writer's change.
  const doubted: ClientRecord = { ...seen, server: { ...outdated(seen.server), conflicts } };
  const answer = { class: 'conflict', status, error: difference, durationMs } as const;
  const failed = andThen({ record: doubted, entries: told }, (next) =>
    publishFailed(next, sending, answer, context.now),
  );
  return andThen(failed, (next) => {
    if (conflicts >= CONFLICTS_BORNE) return halt(next, why);
    return { record: withTries(next, sending.owner, (tries) => ({ ...tries, error: why })), entries: [] };
  });
}

function refused(
  record: ClientRecord,
  { owner, purpose }: Sending,
  { status, message }: { status: number; message: string },
  context: Context,
): Transition {
  const why = `the server refused the PATCH (${status}): ${message}`;
  const { rotation } = record;
  if (purpose === 'revert' || status === 404) return halt(record, why);
  if (rotation?.phase.name !== 'delivered' || owner !== 'rotation') return refusedStep(record, owner, why, context);
  // Without a rollback, another key may be what the server takes.
  if (rotation.compromised !== null) return anotherKey(record, rotation, why, context);
  return giveUp(record, rotation, rotation.phase.kid, why, context);
}

/** The server holds the desired document: everything that waited for that moves on. */
export function settled(
  record: ClientRecord,
  { purpose, owner }: Sender,
  context: Context,
  data: { status?: number; duration_ms?: number } = {},
): Transition {
  const { now, policy } = context;
  const names = desiredNames(record, policy);
  const gone = withRetirements(record, (old) =>
    old.phase === 'withdrawing' ? { ...old, phase: 'withdrawn', until: now, tries: NO_TRIES } : old,
  );
  const calm: ClientRecord = {
    ...gone,
    // Where nothing of ours stands, nothing of ours was confirmed.
    server: {
      ...withoutFailing(gone.server),
      ...(!isWithdrawn(gone) && { confirmedAt: now }),
      conflicts: 0,
      tries: NO_TRIES,
    },
  };
  const told = entry(calm, senderOf(calm, owner), 'key.published', { purpose, ...names, ...data });
  const { rotation } = calm;
  switch (rotation?.phase.name) {
    case 'delivered': {
      const { kid } = rotation.phase;
      const name = rotation.strategy === 'overlap' ? ('published' as const) : ('cut_over' as const);
      const marks = marked(rotation.marks, { at: now, what: 'patched', kid: null });
      const next = sent(calm, { ...inPhase(rotation, { name, kid, at: now }), marks, tries: NO_TRIES }, now);
      return { record: withKey({ ...calm, rotation: next }, kid, { publishedAt: now }), entries: [told] };
    }
    case 'reverting': {
      const back = rolledBack(calm, rotation, rotation.phase.why, context);
      return { ...back, entries: [told, ...back.entries] };
    }
    default:
      return { record: calm, entries: [told] };
  }
}
