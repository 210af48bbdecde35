/** How a client comes in and how a rotation starts. */

import { RekeydError } from '../errors.ts';
import type { AuditData, AuditDraft } from './audit.ts';
import { type Change, entry, relieved, summarize } from './change.ts';
import type { ClientRef } from './client.ts';
import type { ObservedClient, PublicJwk } from './document.ts';
import { activate, discardIncoming } from './ending.ts';
import { activeKey, incomingKid, isForeign, isOurs, keyOf, letGo, withKey } from './keys.ts';
import { FRESH_MS, hasDrifted } from './plan.ts';
import type { ClientPolicy } from './policy.ts';
import { samePublicKey } from './public-key.ts';
import type {
  Cause,
  ClientRecord,
  CutoverRotation,
  Format,
  KeyState,
  ManagedKey,
  Rotation,
  RotationSummary,
} from './record.ts';

/** A client seen for the first time. All of its published keys are foreign. */
export function adopt(ref: ClientRef, client: ObservedClient, cause: Cause, now: number): Change {
  const record: ClientRecord = {
    v: 1,
    ref,
    clientId: client.clientId,
    adoptedAt: now,
    keys: [],
    observed: { client, at: now },
    format: null,
    published: null,
    served: null,
    foreign: client.keys,
    inFlight: null,
    delivered: { current: null, next: null, previous: null },
    rotation: null,
    retiring: [],
    history: [],
    attempts: 0,
    conflicts: 0,
    notBefore: 0,
    lastError: null,
    halted: null,
  };
  const data = { client_id: client.clientId, alg: client.alg, keys: client.keys.length };
  return { record, entries: [asAsked(cause, entry(record, 'client.adopted', data))] };
}

/** In the words of whoever asked for this, and not of the rotation that it is a part of. */
function asAsked({ actor, reason, request }: Cause, draft: AuditDraft): AuditDraft {
  return { ...draft, actor, reason, data: request === null ? draft.data : { ...draft.data, request } };
}

/** Takes in what the server shows now; `null` when it no longer lists the client. Keys that others added are kept from here on. */
export function observed(
  record: ClientRecord,
  client: ObservedClient | null,
  policy: ClientPolicy,
  now: number,
): Change {
  const seen = client ?? { ...record.observed.client, active: false };
  const { inFlight, dropped = [] } = record;
  const before = record.rotation?.before.keys ?? [];
  const next: ClientRecord = {
    ...record,
    clientId: seen.clientId,
    observed: { client: seen, at: now },
    inFlight: inFlight !== null && now >= inFlight.deadline + FRESH_MS ? null : inFlight,
    foreign: seen.keys.filter((key) => isForeign(record, key)),
    // Whoever takes such a key away and adds it again means it. The way back may still hold what nobody shows any more.
    dropped: dropped.filter((key) => [...seen.keys, ...before].some((known) => samePublicKey(key, known))),
    rotation: wayBack(record, seen),
  };
  if (record.rotation !== null || hasDrifted(record, policy) || !hasDrifted(next, policy))
    return { record: next, entries: [] };
  return { record: next, entries: [entry(next, 'client.drifted', { updated_at: seen.updatedAt })] };
}

/**
 * Until a rotation has sent something, the way back leads to what the server holds now. Kept from the start of a rotation that had to wait, a
 * rollback would put a foreign key back that somebody took away in the meantime.
 */
function wayBack({ rotation, inFlight, conflicts }: ClientRecord, seen: ObservedClient): Rotation | null {
  if (rotation === null || rotation.compromised !== null || rotation.sent || conflicts > 0) return rotation;
  const { name } = rotation.phase;
  // What is seen from here on may be what that PATCH has made of the client, also when it is no longer in flight.
  if (inFlight !== null) return name === 'delivered' ? { ...rotation, sent: true } : rotation;
  return name === 'requested' || name === 'stored' || name === 'delivered' ? { ...rotation, before: seen } : rotation;
}

export interface RotationRequest extends Cause {
  /** The id of the rotation, should this request start one. */
  readonly id: string;
  readonly compromised: { readonly kid: string | null } | null;
}

export interface Started extends Change {
  /** The rotation that answers the request: a new one, or the one already under way. */
  readonly rotation: string;
}

/**
 * Starts a rotation, joins the one under way, or takes a halted one up again. A hundred requests at once are one rotation. Where nothing changes, the
 * record stays the same object; the entry then tells who asked.
 * @throws RekeydError `not_found` when a compromised kid is unknown to this client
 */
export function request(record: ClientRecord, asked: RotationRequest, policy: ClientPolicy, now: number): Started {
  // The same request again, because its first answer was lost.
  if (record.history.some((summary) => summary.id === asked.id)) return { record, entries: [], rotation: asked.id };
  if (asked.compromised !== null) return compromise(record, asked, asked.compromised, policy, now);
  const resumed = record.halted === null ? record : { ...relieved(record), halted: null, conflicts: 0 };
  const { rotation } = resumed;
  if (rotation === null) return start(resumed, asked, policy, now);
  const joined = record.halted === null ? record : summarize(resumed, rotation.id, { state: 'running', error: null });
  const data = { ...exposed(asked), joins: rotation.id };
  return { record: joined, entries: [requested(joined, data, rotation.id, asked)], rotation: rotation.id };
}

function start(record: ClientRecord, asked: RotationRequest, policy: ClientPolicy, now: number): Started {
  const base = {
    id: asked.id,
    actor: asked.actor,
    reason: asked.reason,
    request: asked.request,
    startedAt: now,
    alg: policy.alg,
    format: policy.format,
    compromised: asked.compromised,
    before: record.observed.client,
    phase: { name: 'requested' as const },
  };
  const strategy = chooseStrategy(record, policy, asked);
  const rotation: Rotation = strategy === 'overlap' ? { ...base, strategy } : { ...base, strategy };
  const replaces = activeKey(record)?.kid ?? null;
  const summary: RotationSummary = {
    id: asked.id,
    actor: asked.actor,
    reason: asked.reason,
    request: asked.request,
    state: 'running',
    strategy,
    kid: null,
    replaces,
    startedAt: now,
    activeAt: null,
    endedAt: null,
    error: null,
  };
  const next: ClientRecord = { ...relieved(record), conflicts: 0, rotation, history: [summary, ...record.history] };
  const trimmed = summarize(next, asked.id, {});
  return {
    record: trimmed,
    entries: [
      requested(trimmed, exposed(asked), asked.id, asked),
      entry(trimmed, 'rotation.started', { strategy, alg: policy.alg, format: policy.format, replaces }),
    ],
    rotation: asked.id,
  };
}

function requested(record: ClientRecord, data: AuditData, rotation: string, asked: Cause): AuditDraft {
  return asAsked(asked, entry(record, 'rotation.requested', data, rotation));
}

function exposed({ compromised }: RotationRequest): AuditData {
  return compromised === null ? { compromised: false } : { compromised: true, kid: compromised.kid };
}

function exposure(record: ClientRecord, kid: string, from: KeyState, rotation: string, asked: Cause): AuditDraft {
  return asAsked(asked, entry(record, 'key.compromised', { kid, from, to: 'compromised' }, rotation));
}

/** An overlap needs a server that is known to take several keys, and time: a single PEM, a compromise or doubt mean a cutover. */
function chooseStrategy(record: ClientRecord, policy: ClientPolicy, asked: RotationRequest): 'overlap' | 'cutover' {
  if (asked.compromised !== null || policy.format === 'pem' || policy.strategy !== 'overlap') return 'cutover';
  // Leaving a single PEM behind replaces it: there is nothing to overlap with.
  return record.format === 'pem' ? 'cutover' : 'overlap';
}

function compromise(
  record: ClientRecord,
  asked: RotationRequest,
  { kid }: { readonly kid: string | null },
  policy: ClientPolicy,
  now: number,
): Started {
  // Keys of others were the ones in use where none of ours is. No rotation brings them back.
  const named = kid === null ? [] : record.foreign.filter((key) => key.kid === kid);
  const left = letGo(record, (key) =>
    kid === null ? activeKey(record) === undefined : named.some((gone) => samePublicKey(gone, key)),
  );
  // Nothing that the exposed key stood beside may wait out an overlap.
  const hurried: ClientRecord = {
    ...relieved(left),
    halted: null,
    conflicts: 0,
    retiring: record.retiring.map((old) =>
      old.kind === 'discard' ? old : { ...old, until: Math.min(old.until, now) },
    ),
  };
  const leaving = kid === null ? undefined : record.retiring.find((old) => old.kid === kid);
  if (leaving !== undefined && kid !== null) {
    const from = keyOf(record, kid).state;
    const marked = withKey(hurried, kid, { state: 'compromised' });
    const told = requested(marked, { ...exposed(asked), joins: leaving.rotation }, leaving.rotation, asked);
    const entries = from === 'compromised' ? [told] : [told, exposure(marked, kid, from, leaving.rotation, asked)];
    return { record: marked, entries, rotation: leaving.rotation };
  }
  const { rotation } = hurried;
  const known = kid === null || activeKey(record)?.kid === kid || incomingKid(rotation) === kid;
  if (!known && ![...record.foreign, ...(record.dropped ?? [])].some((key) => key.kid === kid)) {
    throw new RekeydError(
      'not_found',
      `${record.ref} has no key ${kid}. \`rekeyd status ${record.ref}\` lists its keys; without a kid, the one in use is replaced.`,
    );
  }
  if (rotation === null) return start(hurried, asked, policy, now);
  if (rotation.phase.name === 'proven' && rotation.strategy === 'cutover' && isExposed(rotation, kid)) {
    // The server takes nothing else, and signers may hold it as theirs already: it is the one in use.
    const done = activate(hurried, rotation, rotation.phase.kid, { policy, now });
    const next = start(done.record, asked, policy, now);
    return { ...next, entries: [...done.entries, ...next.entries] };
  }
  return { ...escalate(hurried, rotation, asked, record.halted !== null), rotation: rotation.id };
}

/**
 * True when the new key is meant: by its name, or as the one in use, which it is for signers that have it already. Somebody who has reported the key in
 * use before its rotation came that far does not mean the new one.
 */
function isExposed({ phase, compromised }: Rotation, kid: string | null): boolean {
  if (phase.name === 'requested') return false;
  return kid === null ? phase.name === 'proven' && compromised === null : phase.kid === kid;
}

/**
 * A rotation under way becomes a cutover without waits. A new key that is itself exposed, is being taken back or got the client halted is thrown
 * away for another.
 */
function escalate(record: ClientRecord, rotation: Rotation, asked: RotationRequest, wasHalted: boolean): Change {
  const incoming = incomingKid(rotation);
  const isMeant = incoming !== null && isExposed(rotation, asked.compromised?.kid ?? null);
  const discard = isMeant || (incoming !== null && (rotation.phase.name === 'reverting' || wasHalted));
  const marked = isMeant ? withKey(record, incoming, { state: 'compromised' }) : record;
  const next: Rotation = {
    ...rotation,
    strategy: 'cutover',
    compromised: asked.compromised,
    phase: discard ? { name: 'requested' } : withoutOverlap(rotation),
  };
  const hastened = summarize(
    { ...(discard ? discardIncoming(marked, rotation) : marked), rotation: next },
    rotation.id,
    { state: 'running', strategy: 'cutover', error: null },
  );
  const told = requested(hastened, { ...exposed(asked), escalates: rotation.id }, rotation.id, asked);
  if (!isMeant) return { record: hastened, entries: [told] };
  const from = keyOf(record, incoming).state;
  return { record: hastened, entries: [told, exposure(hastened, incoming, from, rotation.id, asked)] };
}

/**
 * Where an overlap published both keys, the cutover has yet to take the old one away; where a cutover left a key of others that is reported now, that
 * one. One that is proven takes it away when signers have the new key: they would be sent back otherwise.
 */
function withoutOverlap(rotation: Rotation): CutoverRotation['phase'] {
  const { strategy, phase } = rotation;
  if (phase.name === 'published' || phase.name === 'cut_over') return { name: 'delivered', kid: phase.kid };
  return strategy === 'overlap' && phase.name === 'proven' ? { name: 'delivered', kid: phase.kid } : phase;
}

/** The public half of a private key that is about to be taken over. */
export interface ImportedKey {
  readonly alg: ManagedKey['alg'];
  readonly thumbprint: string;
  readonly jwk: PublicJwk;
  readonly pem: string;
}

/**
 * Adopts the private key that the client already signs with. It keeps the kid it is published under, so that whoever else still signs with it
 * is not disturbed.
 * @throws RekeydError `key_invalid` when the key is not published, or another one is active
 */
export function imported(
  record: ClientRecord,
  key: ImportedKey,
  policy: ClientPolicy,
  cause: Cause,
  now: number,
): Change {
  const active = activeKey(record);
  if (active !== undefined || record.rotation !== null) {
    throw new RekeydError(
      'key_invalid',
      `${record.ref} already has a managed key (${active?.kid ?? 'in rotation'}): nothing was imported.`,
    );
  }
  const published = record.observed.client.keys.find((found) =>
    samePublicKey({ ...key.jwk, public_key_pem: key.pem }, found),
  );
  if (published === undefined && record.observed.client.jwksUri === null) {
    throw new RekeydError(
      'key_invalid',
      `The server has no such key published for ${record.ref}, so nobody signs in with it. Import the key that the client uses now.`,
    );
  }
  const kid = typeof published?.kid === 'string' && published.kid !== '' ? published.kid : key.thumbprint;
  const managed: ManagedKey = {
    kid,
    thumbprint: key.thumbprint,
    alg: key.alg,
    state: 'active',
    jwk: key.jwk,
    pem: key.pem,
    createdAt: now,
    publishedAt: now,
    activatedAt: now,
    proof: null,
    destroyedAt: null,
  };
  const format: Format = published === undefined ? 'jwks_uri' : published.kty === 'PEM' ? 'pem' : 'jwks';
  const adopted = { ...record, keys: [...record.keys, managed], format };
  const next = { ...adopted, foreign: record.foreign.filter((found) => !isOurs(adopted, found)) };
  const data = { kid, thumbprint: key.thumbprint, alg: key.alg, policy_alg: policy.alg };
  return { record: next, entries: [asAsked(cause, entry(next, 'key.imported', data))] };
}
