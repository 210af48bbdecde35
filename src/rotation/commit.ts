/** A transition of the core as the store commits it: record, audit entries, keys and indexes in one script. */
import { hash } from 'node:crypto';
import { offeredUntil, whyWithdrawn } from '../core/adoption.ts';
import { contentOf, type ObservedClient } from '../core/document.ts';
import { dueAt, isScheduled } from '../core/due.ts';
import type { ClientPolicy } from '../core/policy.ts';
import { publication } from '../core/publication.ts';
import type { ClientRecord } from '../core/record.ts';
import { desiredDelivery, sameDelivery } from '../core/signers.ts';
import { isStandbyMissing, standbyUntil } from '../core/standby.ts';
import { andThen, type Transition } from '../core/transition.ts';
import { hasCode } from '../errors.ts';
import type { Commit, Loaded, SealedHalf } from '../store/records.ts';

/** A transition, and the private halves that are stored or erased with it. */
export interface Change extends Transition {
  readonly seal?: readonly SealedHalf[];
  /** Thumbprints. */
  readonly erase?: readonly string[];
}

/** One change after the other, as one. */
export function merged(first: Change | null, second: Change): Change {
  if (first === null) return second;
  return {
    ...andThen(first, () => second),
    seal: [...(first.seal ?? []), ...(second.seal ?? [])],
    erase: [...(first.erase ?? []), ...(second.erase ?? [])],
  };
}

/** A commit was refused: another worker has changed the record, or claimed it, since it was loaded. */
export function isOutrun(error: unknown): boolean {
  return hasCode(error, 'store_conflict') || hasCode(error, 'store_fenced');
}

/** True while something is left to do for this client without a new request. */
function isOpen(record: ClientRecord, policy: ClientPolicy): boolean {
  const { halted, rotation, retirements, server, signers, doubted } = record;
  if (doubted) return true;
  if (halted !== null) return false;
  // A key that is offered waits for its application, perhaps for a month: the due index knows until when. So does `whyWithdrawn` at time 0: it asks for
  // the other reasons alone.
  const isUnderWay = rotation !== null && rotation.phase.name !== 'offered';
  if (isUnderWay || retirements.length > 0 || server.inFlight !== null) return true;
  // An import that was killed may have got no further than the store.
  if (!sameDelivery(signers.delivered, desiredDelivery(record))) return true;
  if (whyWithdrawn(record, policy, 0) !== null || isStandbyMissing(record, policy)) return true;
  // What is published, or served, is to be put right: the job that was to do that may have been lost before it was added.
  return publication(record, policy) !== null;
}

/**
 * A hash of all that matters of a client. The index has it, so that a client that changed is found without loading its record. That of a client that is gone,
 * or not active, is marked, so that its return is a change.
 */
function seenMark(client: ObservedClient): string {
  // Most commits of a record leave what was observed as it is.
  const mark = marks.get(client) ?? markOf(client);
  marks.set(client, mark);
  return mark;
}

const marks = new WeakMap<ObservedClient, string>();

const MARK_LENGTH = 22;

function markOf(client: ObservedClient): string {
  const mark = hash('sha256', contentOf(client), 'base64url').slice(0, MARK_LENGTH);
  return client.active ? mark : `!${mark}`;
}

/** What the index keeps of a record: with that, clients that have drifted are found without reading all. */
function markOfRecord({ server, drift }: ClientRecord): string {
  const mark = seenMark(server.observed.client);
  return drift === undefined ? mark : `${mark}${DRIFTED}`;
}

const DRIFTED = '~';

/** @param seen as the index has it */
export function isMarkedDrifted(seen: string | null): boolean {
  return seen?.endsWith(DRIFTED) === true;
}

/** True where the client looks as it did when the record was committed. */
export function looksAsSeen(client: ObservedClient, seen: string | null): boolean {
  const mark = seenMark(client);
  return seen === mark || seen === `${mark}${DRIFTED}`;
}

export function isMarkedActive(mark: string | null): boolean {
  return mark !== null && !mark.startsWith('!');
}

/** @param from what the change was made of; null for a client that is not known yet */
export function commitOf(
  change: Change,
  policy: ClientPolicy,
  { from, durable }: { readonly from: Pick<Loaded, 'op' | 'claim' | 'carried'> | null; readonly durable: boolean },
): Commit {
  const { record, entries, ended = [], seal = [], erase = [], counted } = change;
  return {
    ref: record.ref,
    expected: from,
    record,
    entries,
    carried: from?.carried ?? [],
    ended,
    seal,
    erase,
    dueAt: dueTime(record, policy),
    seen: markOfRecord(record),
    open: isOpen(record, policy),
    durable,
    ...(counted !== undefined && { counted }),
  };
}

/**
 * As the due index has it: when a schedule rotates the client, when a key that is offered to it is withdrawn, or when its standby key is to be replaced. Null
 * when nothing of that is to come.
 */
export function dueTime(record: ClientRecord, policy: ClientPolicy): number | null {
  const times = [
    offeredUntil(record, policy) ?? (isScheduled(record, policy) ? dueAt(record, policy) : null),
    standbyUntil(record, policy),
  ].filter((time) => time !== null);
  return times.length === 0 ? null : Math.min(...times);
}
