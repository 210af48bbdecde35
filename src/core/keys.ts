/** The keys of a record, and looking them up. A record that points at a key which it does not hold is a bug: the lookup says so. */
import type { PublicJwk, PublishedKey } from './document.ts';
import type { ClientRecord } from './record.ts';

/** JWS algorithms (RFC 7518 section 3.1, RFC 8037) that rekeyd makes keys for. */
export const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;

export type Algorithm = (typeof ALGORITHMS)[number];

export function isAlgorithm(text: string): text is Algorithm {
  return (ALGORITHMS as readonly string[]).includes(text); // the only way to ask a tuple for any text
}

/** Key states of NIST SP 800-57 part 1, section 7. A destroyed key is a {@link FormerKey}. */
export type KeyState = 'pre-active' | 'active' | 'deactivated' | 'compromised';

/** A key with its private half in our store. */
export interface ManagedKey {
  /** See {@link PublishedKey.ids}. */
  readonly id: string;
  /** How the published key and its assertions name it: the thumbprint, or for an imported key the `kid` it was already published under. */
  readonly kid: string;
  /** RFC 7638 SHA-256 thumbprint, base64url: the name of the sealed private half. */
  readonly thumbprint: string;
  readonly alg: Algorithm;
  readonly state: KeyState;
  /** The standard public members only (`kty` with `n e` or `crv x y`). */
  readonly jwk: PublicJwk;
  /** SubjectPublicKeyInfo, PEM (RFC 7468 section 13). */
  readonly pem: string;
  readonly createdAt: number;
  readonly publishedAt: number | null;
  readonly activatedAt: number | null;
  /** How the key was shown to work: a client assertion was accepted, or only the published document was read back. */
  readonly proof: 'accepted' | 'read_back' | null;
}

/** The public half of a key, as it comes from `keys/`. */
export type KeyMaterial = Pick<ManagedKey, 'id' | 'kid' | 'thumbprint' | 'alg' | 'jwk' | 'pem'>;

/** A key that must not be published any more: ours, destroyed; or one that was reported as compromised, even while it is still in use. */
export interface FormerKey {
  readonly id: string;
  readonly kid: string;
  /** Of a key of ours that is called otherwise: it is found by this name too. */
  readonly thumbprint?: string;
  readonly at: number;
  readonly compromised: boolean;
}

/** How many former keys a record remembers that were not compromised. Those that were are remembered for good. */
const MOST_FORMER = 10;

export function findKey(record: ClientRecord, kid: string): ManagedKey | undefined {
  return record.keys.find((key) => key.kid === kid);
}

export function keyOf(record: ClientRecord, kid: string): ManagedKey {
  const key = findKey(record, kid);
  if (key === undefined) throw new Error(`the record of ${record.ref} points at key ${kid}, which it does not hold`);
  return key;
}

export function activeKey(record: ClientRecord): ManagedKey | undefined {
  return record.keys.find((key) => key.state === 'active');
}

export function withKey(record: ClientRecord, kid: string, change: Partial<ManagedKey>): ClientRecord {
  const target = keyOf(record, kid);
  return { ...record, keys: record.keys.map((key) => (key === target ? { ...key, ...change } : key)) };
}

export function holds(published: PublishedKey, id: string): boolean {
  return published.ids.includes(id);
}

/** True for an entry that holds a key of ours, also one that is destroyed, or a compromised foreign one. */
export function isKnown(record: ClientRecord, published: PublishedKey): boolean {
  return [...record.keys, ...record.former].some(({ id }) => holds(published, id));
}

/** True for an entry that holds a key which may never be published again. */
export function isCompromised({ keys, former }: ClientRecord, published: PublishedKey): boolean {
  return (
    keys.some(({ id, state }) => state === 'compromised' && holds(published, id)) ||
    former.some(({ id, compromised }) => compromised && holds(published, id))
  );
}

export function wasReported({ former }: ClientRecord, { id }: Pick<ManagedKey, 'id'>): boolean {
  return former.some((key) => key.compromised && key.id === id);
}

/** True while the client signs in with a key that was reported as compromised, and that a rotation failed to replace. */
export function usesReportedKey(record: ClientRecord): boolean {
  if (record.rotation !== null) return false;
  const active = activeKey(record);
  if (active !== undefined) return wasReported(record, active);
  return record.server.observed.client.keys.some((shown) => isCompromised(record, shown));
}

/** A key of ours as an entry of a set (RFC 7517 section 4): standard members, `kid`, use and alg. */
export function publishedAs({ id, jwk, kid, alg, pem }: KeyMaterial, embedPem: boolean): PublishedKey {
  const plain = { ...jwk, kid, use: 'sig', alg };
  return { jwk: embedPem ? { ...plain, public_key_pem: pem } : plain, ids: [id], pemId: embedPem ? id : null };
}

/** The key leaves the record, and is remembered by its id. */
export function bury(record: ClientRecord, kid: string, at: number): ClientRecord {
  const key = keyOf(record, kid);
  const { id, thumbprint, state } = key;
  const named = thumbprint === kid ? {} : { thumbprint };
  const former: FormerKey = { id, kid, ...named, at, compromised: state === 'compromised' };
  return remember({ ...record, keys: record.keys.filter((other) => other !== key) }, [former]);
}

/** Forgets the oldest former keys beyond the limit, but none that was compromised. */
export function remember(record: ClientRecord, keys: readonly FormerKey[]): ClientRecord {
  const former = [...record.former.filter(({ id }) => !keys.some((key) => key.id === id)), ...keys];
  const plain = former.filter(({ compromised }) => !compromised);
  const forgotten = new Set(plain.slice(0, Math.max(0, plain.length - MOST_FORMER)));
  return { ...record, former: former.filter((key) => !forgotten.has(key)) };
}

/** Enough of a kid to tell the keys of a client apart, for people. */
export function shortKid(kid: string): string {
  return kid.length <= 12 ? kid : `${kid.slice(0, 11)}…`;
}
