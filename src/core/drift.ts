/**
 * Drift: what a server shows that rekeyd did not publish. It is measured when a client is looked at, against the client as it was known before, and stays in
 * the record until the server shows that again, or a person accepts it or lets it be repaired ({@link ./settling.ts}).
 */
import type { AuditDraft } from './audit.ts';
import { desiredDocument, foreignAmong, isSameKey } from './desired.ts';
import type { ObservedClient, PublishedKey } from './document.ts';
import { canonicalJson, sameJson } from './json.ts';
import { activeKey, holds, type ManagedKey } from './keys.ts';
import { nameOf } from './naming-foreign.ts';
import type { ClientPolicy } from './policy.ts';
import { hasDrifted } from './publication.ts';
import { readBack } from './readback.ts';
import type { ClientRecord } from './record.ts';
import { shortMessage } from './reply.ts';
import type { ServerSide } from './server.ts';
import { shownNames } from './shown.ts';
import type { Signers } from './signers.ts';
import type { Standby } from './standby.ts';
import { displaced } from './state.ts';
import { entry, UPKEEP } from './transition.ts';

/**
 * `vanished`: the server lists the client no more, or not as active. `document`: the keys that we published, or took over, are not as they were.
 * `foreign_added`, `foreign_changed`, `foreign_removed`: about foreign keys in its set. `registration`: how the client authenticates.
 */
export const DRIFT_KINDS = [
  'vanished',
  'document',
  'foreign_added',
  'foreign_changed',
  'foreign_removed',
  'registration',
] as const;

export type DriftKind = (typeof DRIFT_KINDS)[number];

export interface Difference {
  readonly kind: DriftKind;
  /** In words, with public material only. */
  readonly text: string;
}

export interface Drift {
  /** When it was first seen, ms since the Unix epoch. It may have come earlier. */
  readonly since: number;
  /** The client as it was known before. */
  readonly from: ObservedClient;
  readonly what: readonly Difference[];
}

/** What a person has decided about drift, while that can be undone: the other decision undoes it. */
export type Settled =
  | {
      readonly did: 'accepted';
      readonly at: number;
      readonly enrolment: ClientRecord['enrolment'];
      /** Ours, set aside when the client became a found one. Their private halves are in the store. Empty: they are in the record. */
      readonly keys: readonly ManagedKey[];
      /** Of one that became found: the key that was kept ready is among `keys`. */
      readonly standby?: Standby;
      readonly server: Pick<ServerSide, 'format' | 'confirmedAt'>;
      readonly delivered: Signers['delivered'];
    }
  | {
      readonly did: 'repaired';
      readonly at: number;
      /** Foreign keys that were taken away. */
      readonly dropped: readonly PublishedKey[];
    };

/**
 * Takes note of how `next`, which has seen the server anew, differs from what was known. A difference is told once.
 * @param record as it was before
 */
export function drifting(
  record: ClientRecord,
  next: ClientRecord,
  policy: ClientPolicy,
  now: number,
): { readonly record: ClientRecord; readonly entries: readonly AuditDraft[] } {
  const [before, seen] = [record.server.observed.client, next.server.observed.client];
  const from = knownBefore(record, next);
  const what = differences(record, next, from, policy);
  // Of a found client nothing is published by us. That it vanished is told; what else its owner does with it is no business of rekeyd.
  const isOurs = activeKey(next) !== undefined;
  const drift = what.length > 0 && isOurs ? { since: record.drift?.since ?? now, from, what } : undefined;
  const marked = drift === undefined ? withoutDrift(next) : { ...next, drift };
  const known = new Set((record.drift?.what ?? []).map(textOf));
  const fresh = what.filter((one) => !known.has(textOf(one)) && (isOurs || before.active));
  const returned = !before.active && seen.active;
  const isOver = record.drift !== undefined && drift === undefined && !returned && !isOurDoing(record);
  if (fresh.length === 0 && !returned && !isOver) return { record: marked, entries: [] };
  const over = returned ? [RETURNED] : isOver ? [ENDED] : [];
  const told = {
    updated_at: seen.updatedAt,
    what: [...fresh.map(({ kind }) => kind), ...over.map(({ kind }) => kind)],
    differences: [...fresh, ...over].map(({ text }) => text),
    // While a PATCH of ours may still arrive, what is not shown now may be in force later.
    ...(seen.active && record.server.inFlight === null && shownNames(seen, next.keys)),
  };
  return { record: marked, entries: [entry(marked, UPKEEP, 'client.drifted', told)] };
}

const RETURNED = { kind: 'returned', text: 'the server lists the client as active again' } as const;
const ENDED = { kind: 'ended', text: 'the server shows again what was known before' } as const;

export function withoutDrift({ drift: _, ...record }: ClientRecord): ClientRecord {
  return record;
}

function textOf({ kind, text }: Difference): string {
  return `${kind} ${text}`;
}

/** What the server is compared with. What our own documents take away, or bring back, is no drift. */
function knownBefore(record: ClientRecord, next: ClientRecord): ObservedClient {
  const from = record.drift?.from ?? record.server.observed.client;
  if (!isOurDoing(record)) return from;
  const { client } = next.server.observed;
  const known = [...from.keys, ...(record.rotation?.before?.keys ?? []), ...(record.restores ?? [])];
  const keys = known.filter((key) => client.keys.some((shown) => isSameKey(key, shown)));
  return { ...from, alg: client.alg, jwksUri: client.jwksUri, keys };
}

/** A document of ours may have changed what the server shows beside our own keys. */
function isOurDoing({ rotation, retirements, server }: ClientRecord): boolean {
  const isSent = rotation !== null && rotation.before !== null;
  return (
    isSent ||
    server.inFlight !== null ||
    retirements.some(({ phase, foreignKeys }) => phase === 'withdrawing' && foreignKeys === 'retire')
  );
}

function differences(
  record: ClientRecord,
  next: ClientRecord,
  from: ObservedClient,
  policy: ClientPolicy,
): readonly Difference[] {
  const seen = next.server.observed.client;
  if (!seen.active) return from.active ? [VANISHED] : [];
  if (activeKey(next) === undefined) return [];
  return [
    ...documentDifference(record, next, from, policy),
    ...foreignDifferences(next, from),
    ...registration(from, seen),
  ];
}

const VANISHED: Difference = {
  kind: 'vanished',
  text: 'the server does not list the client any more, or not as active',
};

function documentDifference(
  record: ClientRecord,
  next: ClientRecord,
  from: ObservedClient,
  policy: ClientPolicy,
): readonly Difference[] {
  if (next.server.confirmedAt !== null) {
    // A policy that asks for another document, or a key that is to leave, is not the server's doing.
    const wasNoted = record.drift?.what.some(({ kind }) => kind === 'document') === true;
    if (!wasChanged(next, policy) || (!wasNoted && wasChanged(record, policy))) return [];
    const document = desiredDocument(calm(next), policy);
    const text = document === null ? null : readBack(document, next.server.observed.client);
    return text === null ? [] : [{ kind: 'document', text: shortMessage(text) }];
  }
  const text = displaced(next) ?? importedDifference(next, from);
  return text === null ? [] : [{ kind: 'document', text }];
}

/** Of a key that was imported, or a document that was accepted: nothing of ours was confirmed, so only what was there before is known. */
function importedDifference(next: ClientRecord, from: ObservedClient): string | null {
  if (next.rotation !== null) return null;
  const seen = next.server.observed.client;
  if (seen.alg !== from.alg) return `the registered alg is ${said(seen.alg)} instead of ${said(from.alg)}`;
  if (seen.jwksUri !== from.jwksUri) return `jwks_uri is ${said(seen.jwksUri)} instead of ${said(from.jwksUri)}`;
  const id = activeKey(next)?.id ?? '';
  const [was, is] = [from, seen].map(({ keys }) => keys.find((shown) => holds(shown, id))?.jwk);
  if (was === undefined || sameJson(was, is)) return null;
  return `the key in use, ${activeKey(next)?.kid}, is shown with other members than before`;
}

/** True when somebody changed what we had published. A rotation that has sent nothing yet has not changed it either. */
function wasChanged(record: ClientRecord, policy: ClientPolicy): boolean {
  if (record.rotation !== null && record.rotation.before !== null) return false;
  return hasDrifted(calm(record), policy);
}

/** The record as it would be without a rotation that has sent nothing. */
function calm(record: ClientRecord): ClientRecord {
  const { rotation, retirements } = record;
  const leaving = rotation?.rollsBack === undefined ? retirements : [...retirements, rotation.rollsBack];
  return { ...record, rotation: null, retirements: leaving };
}

function foreignDifferences(next: ClientRecord, from: ObservedClient): readonly Difference[] {
  const [was, is] = [foreignAmong(next, from.keys), foreignAmong(next, next.server.observed.client.keys)];
  const told = (kind: DriftKind, keys: readonly PublishedKey[], words: string): readonly Difference[] => {
    const named = keys.slice(0, MOST_NAMED).map((key) => ({ kind, text: `the foreign key ${nameOf(key)} ${words}` }));
    const others = keys.length - named.length;
    return others === 0 ? named : [...named, { kind, text: `the same of ${others} more foreign keys` }];
  };
  const among = (keys: readonly PublishedKey[], key: PublishedKey) => keys.find((other) => isSameKey(key, other));
  const changed = is.filter((key) => {
    const before = among(was, key);
    return before !== undefined && canonicalJson(before.jwk) !== canonicalJson(key.jwk);
  });
  return [
    ...told('foreign_added', addedAmong(was, is), 'was added'),
    ...told('foreign_changed', changed, 'is shown with other members than before'),
    ...told('foreign_removed', addedAmong(is, was), 'was removed'),
  ];
}

/** Of each kind. A set may hold thousands of keys. */
const MOST_NAMED = 10;

function addedAmong(was: readonly PublishedKey[], is: readonly PublishedKey[]): readonly PublishedKey[] {
  return is.filter((key) => !was.some((other) => isSameKey(key, other)));
}

/** Foreign keys that came with the drift. */
export function addedKeys(record: ClientRecord): readonly PublishedKey[] {
  if (record.drift === undefined) return [];
  return addedAmong(
    foreignAmong(record, record.drift.from.keys),
    foreignAmong(record, record.server.observed.client.keys),
  );
}

/** A server may say anything. */
function said(text: string | null): string {
  return text === null ? 'none' : shortMessage(text);
}

function registration(from: ObservedClient, seen: ObservedClient): readonly Difference[] {
  if (seen.authMethod === from.authMethod) return [];
  const text = `the client authenticates with ${said(seen.authMethod)} instead of ${said(from.authMethod)}`;
  return [{ kind: 'registration', text }];
}

export function kindsOf(drift: Drift | undefined): readonly DriftKind[] {
  return [...new Set((drift?.what ?? []).map(({ kind }) => kind))];
}
