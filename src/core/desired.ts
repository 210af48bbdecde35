/**
 * What the server and the signers should hold, as pure functions of the record: whoever runs a step again, on whatever machine, sends the
 * same bytes. Nothing here looks at a clock.
 */
import type { KeyDocument, PublicJwk } from './document.ts';
import {
  activeKey,
  incomingKid,
  isForeign,
  isHeldBack,
  isOurs,
  isPublishing,
  isReplaced,
  keyOf,
  letGo,
} from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import { samePublicKey } from './public-key.ts';
import type { ClientRecord, Delivery, Format, ManagedKey, Retirement, Rotation } from './record.ts';

/** The alg that the server verifies with when none is registered. */
const SERVER_DEFAULT_ALG = 'RS256';

/**
 * Our keys that belong in the published document. A cutover leaves only the new one, so that it is the signing key of a server that takes the
 * first. Under an overlap the server picks by `kid`: keys stand in the order in which they came, and the document changes only when one comes
 * or goes.
 */
export function publishedKeys(record: ClientRecord): readonly ManagedKey[] {
  const { rotation } = record;
  const active = activeKey(record);
  const incoming = rotation !== null && isPublishing(rotation) ? keyOf(record, incomingKid(rotation) ?? '') : undefined;
  const kept = rotation?.strategy === 'cutover' && incoming !== undefined ? [] : [active];
  const overlapping = record.retiring.map((old) =>
    overlaps(old) && old.kid !== null ? keyOf(record, old.kid) : undefined,
  );
  return [...overlapping, ...kept, incoming].filter((key) => key !== undefined);
}

function overlaps(old: Retirement): boolean {
  return old.kind === 'overlap' && old.phase === 'waiting';
}

/** The key that the document's alg, or its single PEM, is of. */
function newestKey(record: ClientRecord): ManagedKey | undefined {
  return publishedKeys(record).at(-1);
}

/**
 * Foreign keys stay verbatim. `foreign_keys: retire` lets them go together with the old key; the way back brings those back that the new key's document
 * had no place for. One that is missing else was taken away by somebody who meant it.
 */
function publishedForeign(record: ClientRecord, policy: ClientPolicy): readonly PublicJwk[] {
  const { rotation, foreign } = record;
  if (rotation?.phase.name === 'reverting') {
    const before = rotation.before.keys.filter((key) => isForeign(record, key));
    const since = foreign.filter((key) => !before.some((known) => samePublicKey(known, key)));
    const back = leavesOthersOut(rotation, policy) ? [...before, ...since] : foreign;
    // A document cannot be empty, and the new key must not stay: where nothing else is left, it is what stood before, whatever was said of it.
    const isEmpty = publishedKeys(record).length === 0 && back.length === 0;
    return isEmpty ? rotation.before.keys.filter((key) => !isOurs(record, key)) : back;
  }
  if (policy.foreignKeys === 'keep' || publishedKeys(record).length === 0) return foreign;
  return rotation?.strategy === 'overlap' || record.retiring.some(overlaps) ? foreign : [];
}

/** True when the document with the new key of this rotation is without keys of others. */
function leavesOthersOut({ strategy, format }: Rotation, policy: ClientPolicy): boolean {
  return format === 'pem' || (strategy === 'cutover' && policy.foreignKeys === 'retire');
}

/** Lets the keys of others that the desired document leaves out go. */
export function dropForeign(record: ClientRecord, policy: ClientPolicy): ClientRecord {
  const kept = publishedForeign(record, policy);
  return letGo(record, (key) => !kept.some((known) => samePublicKey(known, key)));
}

/** A public JWK as it is published (RFC 7517 section 4): standard members, the `kid`, its use and alg. */
function publicJwk(key: ManagedKey, embedPem: boolean): PublicJwk {
  const jwk = { ...key.jwk, kid: key.kid, use: 'sig', alg: key.alg };
  return embedPem ? { ...jwk, public_key_pem: key.pem } : jwk;
}

/** The public JWK Set of this client, in order: what `format: jwks` sends and `format: jwks_uri` serves. */
function publicSet(record: ClientRecord, policy: ClientPolicy, embedPem: boolean): readonly PublicJwk[] {
  const ours = publishedKeys(record).map((key) => publicJwk(key, embedPem));
  const foreign = publishedForeign(record, policy);
  return foreignCameFirst(record) ? [...foreign, ...ours] : [...ours, ...foreign];
}

/** Until a first key of ours has taken over, customers sign with a foreign one. */
function foreignCameFirst(record: ClientRecord): boolean {
  if (activeKey(record) === undefined) return record.rotation?.strategy !== 'cutover';
  return record.retiring.some((old) => overlaps(old) && old.kid === null);
}

/** The format of the document that should stand now: a rotation brings its own in once its key is published. */
function formatInForce(record: ClientRecord): Format {
  const { rotation } = record;
  if (rotation !== null && isPublishing(rotation)) return rotation.format;
  return record.format ?? 'jwks';
}

function algInForce(record: ClientRecord): string {
  const signing = newestKey(record);
  if (signing !== undefined) return signing.alg;
  // What is observed on the way back is the alg that the new key brought. A null alg cannot be written back: PATCH ignores null.
  const { alg } = record.rotation?.before ?? record.observed.client;
  return alg ?? SERVER_DEFAULT_ALG;
}

/** The one key of a document in PEM form, when it has that form. */
function onlyPem(keys: readonly PublicJwk[]): string | null {
  const [only, ...others] = keys;
  if (only === undefined || others.length > 0 || only.kty !== 'PEM') return null;
  return typeof only.public_key_pem === 'string' ? only.public_key_pem : null;
}

/**
 * The document that the server should hold, or null when there is none of ours to ask for (nothing published yet, or the way back leads to a
 * client without any key). Members stand in a fixed order.
 */
export function desiredDocument(record: ClientRecord, policy: ClientPolicy): KeyDocument | null {
  const alg = { token_endpoint_auth_signing_alg: algInForce(record) };
  const format = formatInForce(record);
  const signing = newestKey(record);
  if (signing === undefined) {
    const foreign = publishedForeign(record, policy);
    const before = record.rotation?.before.jwksUri ?? null;
    if (before !== null && foreign.length === 0) return { jwks_uri: before, ...alg };
    if (foreign.length === 0) return null;
    const pem = onlyPem(foreign);
    return pem === null ? { jwks: { keys: foreign }, ...alg } : { public_key_pem: pem, ...alg };
  }
  if (format === 'pem') return { public_key_pem: signing.pem, ...alg };
  if (format === 'jwks_uri' && policy.jwksUri !== null) return { jwks_uri: policy.jwksUri, ...alg };
  return { jwks: { keys: publicSet(record, policy, policy.embedPem) }, ...alg };
}

/**
 * The set to be served under `jwks_uri`, or null when the server does not look there. It cannot be made to forget a `jwks_uri`, and may
 * go on preferring it to a `jwks` that came later: the set is kept in step for as long as the server shows our address.
 */
export function desiredServed(record: ClientRecord, policy: ClientPolicy): readonly PublicJwk[] | null {
  const { jwksUri } = policy;
  const looksThere = [desiredDocument(record, policy)?.jwks_uri, record.observed.client.jwksUri].includes(jwksUri);
  return jwksUri === null || !looksThere ? null : publicSet(record, policy, false);
}

/** True when the set that we serve is not the desired one, or was noted by an earlier version, by its kids. */
export function servesOther(record: ClientRecord, policy: ClientPolicy): boolean {
  const keys = desiredServed(record, policy);
  return keys !== null && JSON.stringify(keys) !== JSON.stringify(record.served);
}

/**
 * Which key signers should find under which name. They flip when the new key is proven, and not before. A key that was thrown away for another of
 * the same rotation may be the one that the server takes until that one is there.
 */
export function desiredDelivery(record: ClientRecord): Delivery {
  const active = activeKey(record)?.kid ?? null;
  const incoming = incomingKid(record.rotation);
  const previous = record.retiring.findLast((old) => isReplaced(old, record.rotation) || isHeldBack(old))?.kid ?? null;
  if (record.rotation?.phase.name === 'proven') return { current: incoming, next: null, previous: active ?? previous };
  return { current: active, next: incoming, previous };
}

/**
 * Keys of a delivery that signers do without when their private halves cannot be opened. A `previous` key signs no more. The one in use is given up only
 * for a compromise, which is there to replace it, and not before its successor is delivered with it.
 */
export function dispensable({ rotation }: ClientRecord, { current, next, previous }: Delivery): readonly string[] {
  const isReplacing = rotation?.compromised != null && next !== null;
  return [isReplacing ? current : null, previous].filter((kid) => kid !== null);
}

export function sameDelivery(a: Delivery | null, b: Delivery): boolean {
  return a !== null && a.current === b.current && a.next === b.next && a.previous === b.previous;
}

export function sameDocument(a: KeyDocument, b: KeyDocument): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
