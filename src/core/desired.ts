/**
 * What the server should hold, as a pure function of the record: every worker that runs the same step sends the same bytes. Nothing here looks at a
 * clock.
 */
import { isWithdrawn } from './adoption.ts';
import type { AuditData } from './audit.ts';
import type { Format, KeyDocument, PublicJwk, PublishedKey } from './document.ts';
import { activeKey, isCompromised, isKnown, keyOf, type ManagedKey, publishedAs } from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import { incomingKid, isPublishing, type Rotation, suspended } from './rotation.ts';
import { foreignNames, shownNames } from './shown.ts';

/** The alg that the server verifies with when none is registered. */
const SERVER_DEFAULT_ALG = 'RS256';

/**
 * Our keys that belong in the published document. A cutover leaves only the new one, so that it is the signing key of a server that takes the first.
 * Under an overlap the server picks by `kid`: keys stand in the order in which they came, and the document changes only when one comes or goes.
 */
export function publishedKeys(record: ClientRecord): readonly ManagedKey[] {
  const { rotation, retirements } = record;
  const active = activeKey(record);
  const incoming = rotation !== null && isPublishing(rotation) ? keyOf(record, incomingKid(rotation) ?? '') : undefined;
  const kept = rotation?.strategy === 'cutover' && incoming !== undefined ? [] : [active];
  const overlapping = [...retirements, ...suspended(rotation)].map(({ phase, kid }) =>
    phase === 'overlap' && kid !== null ? keyOf(record, kid) : undefined,
  );
  return [...overlapping, ...kept, incoming].filter((key) => key !== undefined);
}

/** The kids of the document that the record asks for. */
export function desiredKids(record: ClientRecord): readonly string[] {
  return publishedKeys(record).map(({ kid }) => kid);
}

/** Foreign keys that the server shows, in its order. Under `jwks_uri` the set that it shows beside the address is not in force. */
export function foreignKeys(record: ClientRecord): readonly PublishedKey[] {
  return foreignAmong(record, record.server.observed.client.keys);
}

export function foreignAmong(record: ClientRecord, keys: readonly PublishedKey[]): readonly PublishedKey[] {
  const { server, rotation } = record;
  if (server.format === 'jwks_uri') return [];
  // One that nobody can read has no id to be remembered by, so it goes by its name.
  const isReported = ({ jwk, ids }: PublishedKey) =>
    ids.length === 0 && rotation?.compromised != null && jwk.kid === rotation.compromised.kid;
  return keys.filter((key) => !isKnown(record, key) && !isReported(key));
}

/** Foreign keys that belong in the document. `foreign_keys: retire` takes them away together with the old key of a rotation, and at no other time. */
function publishedForeign(record: ClientRecord): readonly PublishedKey[] {
  const { rotation, retirements } = record;
  const shown = foreignKeys(record);
  const lacking = (record.restores ?? []).filter((key) => !shown.some((other) => isSameKey(key, other)));
  const foreign = [...shown, ...lacking];
  if (rotation?.phase.name === 'reverting') return restoredForeign(record, rotation, foreign);
  if (publishedKeys(record).length === 0) return foreign;
  if (rotation !== null && isPublishing(rotation)) {
    return rotation.strategy === 'cutover' && rotation.foreignKeys === 'retire' ? [] : foreign;
  }
  const overlaps = retirements.some(({ phase }) => phase === 'overlap');
  const leave = retirements.some(({ phase, foreignKeys }) => phase === 'withdrawing' && foreignKeys === 'retire');
  return leave && !overlaps ? [] : foreign;
}

/** Put back the foreign keys that our document left out. Any other missing key was removed by a person. */
function restoredForeign(
  record: ClientRecord,
  rotation: Rotation,
  foreign: readonly PublishedKey[],
): readonly PublishedKey[] {
  const before = rotation.before?.keys ?? [];
  // Beside an address that was in force, the set was not.
  const inForce = record.server.format === 'jwks_uri' ? [] : before;
  const known = inForce.filter((key) => !isKnown(record, key) && !isCompromised(record, key));
  const since = foreign.filter((key) => !known.some((other) => isSameKey(key, other)));
  const back = leavesForeignOut(rotation) ? [...known, ...since] : foreign;
  if (publishedKeys(record).length > 0 || back.length > 0) return back;
  // A document cannot be empty, and the new key must not stay: what stood before is restored, even where it was reported.
  return before.filter(({ ids }) => !record.keys.some(({ id }) => ids.includes(id)));
}

export function isSameKey(a: PublishedKey, b: PublishedKey): boolean {
  if (a.ids.length === 0) return JSON.stringify(a.jwk) === JSON.stringify(b.jwk);
  return a.ids.some((id) => b.ids.includes(id));
}

/** True when the document with the new key of this rotation is without foreign keys. */
function leavesForeignOut({ strategy, format, foreignKeys }: Rotation): boolean {
  return format !== 'jwks' || (strategy === 'cutover' && foreignKeys === 'retire');
}

/** The public JWK Set of this client, in order. */
function publicSet(record: ClientRecord, embedPem: boolean): readonly PublishedKey[] {
  const ours = publishedKeys(record).map((key) => publishedAs(key, embedPem));
  const foreign = publishedForeign(record);
  return foreignCameFirst(record) ? [...foreign, ...ours] : [...ours, ...foreign];
}

/** Until a first key of ours has taken over, the application signs with a foreign one. */
function foreignCameFirst(record: ClientRecord): boolean {
  if (activeKey(record) === undefined) return record.rotation?.strategy !== 'cutover';
  return record.retirements.some(({ phase, kid }) => phase === 'overlap' && kid === null);
}

/** The format of the document that should stand now: a rotation brings its own in once its key is published. */
function formatInForce({ rotation, server }: ClientRecord): Format {
  if (rotation !== null && isPublishing(rotation)) return rotation.format;
  return server.format ?? 'jwks';
}

function algInForce({ rotation, server }: ClientRecord, signing: ManagedKey | undefined): string {
  if (signing !== undefined) return signing.alg;
  // What is observed during a rollback is the alg that the new key brought. A null alg cannot be written back: PATCH ignores null.
  // An offer brings no alg of its own: what is observed now is the owner's.
  const { alg } = (rotation?.adopting ? null : rotation?.before) ?? server.observed.client;
  return alg ?? SERVER_DEFAULT_ALG;
}

/**
 * The document that the server should hold, or null when there is none of ours to ask for: nothing is published yet, a rollback leads to a client
 * without any key, or nothing of a key that was offered stands there any more.
 */
export function desiredDocument(record: ClientRecord, policy: ClientPolicy): KeyDocument | null {
  if (isWithdrawn(record)) return null;
  // The key that the document's alg, or its single PEM, is of.
  const signing = publishedKeys(record).at(-1);
  const alg = algInForce(record, signing);
  const address = restoredAddress(record);
  if (address !== null) return { alg, format: 'jwks_uri', uri: address };
  if (signing === undefined) return foreignDocument(publishedForeign(record), alg);
  const format = formatInForce(record);
  if (format === 'pem') return { alg, format, pem: signing.pem, id: signing.id };
  if (format === 'jwks_uri' && policy.jwksUri !== null) return { alg, format, uri: policy.jwksUri };
  return { alg, format: 'jwks', keys: publicSet(record, policy.embedPem) };
}

/** The keys of the desired document as the audit log names them; where there is no document, those that the server was seen to show. */
export function desiredNames(record: ClientRecord, policy: Pick<ClientPolicy, 'jwksUri'>): AuditData {
  const { jwksUri } = record.server.observed.client;
  const ours = publishedKeys(record);
  const address = restoredAddress(record);
  const foreign = publishedForeign(record);
  if (address === null && ours.length === 0 && foreign.length === 0) {
    return { kids: [], ...shownNames(record.server.observed.client, record.keys) };
  }
  const isAlone = ours.length > 0 && formatInForce(record) === 'pem';
  // A set that we serve is kept in step. Of another one it is not known which keys it holds, nor whether the server goes by it.
  const isElsewhere = (address ?? jwksUri ?? policy.jwksUri) !== policy.jwksUri;
  const kids = ours.map(({ kid }) => kid);
  return { kids, ...foreignNames(isAlone ? [] : foreign), ...(isElsewhere && { jwks_uri: true }) };
}

/** Keys that are not ours, are shown now, and leave with the desired document. Empty where there are none. */
export function droppedNames(record: ClientRecord): AuditData {
  const ours = publishedKeys(record);
  const isAlone = ours.length > 0 && formatInForce(record) === 'pem';
  const kept = isAlone ? [] : publishedForeign(record);
  const { foreign = [] } = foreignNames(foreignKeys(record).filter((key) => !kept.includes(key)));
  return Array.isArray(foreign) && foreign.length > 0 ? { drops: foreign } : {};
}

/** The `jwks_uri` that stood before a rotation which is rolled back, where that one was in force. */
function restoredAddress(record: ClientRecord): string | null {
  const { rotation, server } = record;
  const address = rotation?.before?.jwksUri ?? null;
  if (rotation?.phase.name !== 'reverting' || address === null) return null;
  // An address beside keys of ours was not, even where this rotation has put another address in its place. Of one beside foreign keys nobody knows.
  const wasInForce = server.format === 'jwks_uri' || (server.format === null && rotation.format === 'jwks_uri');
  const isAllThereWas = publishedKeys(record).length === 0 && publishedForeign(record).length === 0;
  return wasInForce || isAllThereWas ? address : null;
}

function foreignDocument(keys: readonly PublishedKey[], alg: string): KeyDocument | null {
  const [only, ...others] = keys;
  if (only === undefined) return null;
  const { jwk, pemId } = only;
  // The server stores a PEM as a set of one key, which it would not take back as one.
  if (others.length === 0 && jwk.kty === 'PEM' && typeof jwk.public_key_pem === 'string' && pemId !== null) {
    return { alg, format: 'pem', pem: jwk.public_key_pem, id: pemId };
  }
  return { alg, format: 'jwks', keys };
}

/**
 * The set to be served under our `jwks_uri`, or null when the server does not look there. It cannot be made to forget a `jwks_uri`, and may go on
 * preferring it to a `jwks` that came later: the set is kept in step for as long as the server shows our address.
 */
export function desiredServed(record: ClientRecord, policy: ClientPolicy): readonly PublicJwk[] | null {
  const { jwksUri } = policy;
  const document = desiredDocument(record, policy);
  const uri = document?.format === 'jwks_uri' ? document.uri : null;
  if (jwksUri === null || (uri !== jwksUri && record.server.observed.client.jwksUri !== jwksUri)) return null;
  return publicSet(record, false).map(({ jwk }) => jwk);
}

/** True when the set that we serve is not the desired one. */
export function servesOther(record: ClientRecord, policy: ClientPolicy): boolean {
  const keys = desiredServed(record, policy);
  return keys !== null && JSON.stringify(keys) !== JSON.stringify(record.server.served);
}
