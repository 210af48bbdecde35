/** How a client comes in, with the key that it signs with, and what is seen of it from then on. */
import { RekeydError } from '../errors.ts';
import { asAsked, type Change, entry } from './change.ts';
import type { ClientRef } from './client.ts';
import type { ObservedClient, PublicJwk } from './document.ts';
import { activeKey, isForeign, isOurs } from './keys.ts';
import { FRESH_MS, hasDrifted } from './plan.ts';
import type { ClientPolicy } from './policy.ts';
import { samePublicKey } from './public-key.ts';
import type { Cause, ClientRecord, Format, ManagedKey, Rotation } from './record.ts';

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
