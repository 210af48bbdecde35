/**
 * Signature checks on node:crypto, written apart from the code under test so that both have to be right. Everything here is synchronous.
 */
import { constants, createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import type { StoredJwk } from './wire.ts';

type Family = 'rsa' | 'ec' | 'ed25519';

interface Algorithm {
  readonly family: Family;
  /** Null where the signature scheme brings its own (Ed25519). */
  readonly hash: string | null;
  /** OpenSSL's name of the one curve that goes with the algorithm. */
  readonly curve?: string;
  readonly pss?: true;
}

/** RFC 7518 section 3.1 and RFC 8037 section 3.1. */
const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ['RS256', { family: 'rsa', hash: 'sha256' }],
  ['RS384', { family: 'rsa', hash: 'sha384' }],
  ['RS512', { family: 'rsa', hash: 'sha512' }],
  ['PS256', { family: 'rsa', hash: 'sha256', pss: true }],
  ['PS384', { family: 'rsa', hash: 'sha384', pss: true }],
  ['PS512', { family: 'rsa', hash: 'sha512', pss: true }],
  ['ES256', { family: 'ec', hash: 'sha256', curve: 'prime256v1' }],
  ['ES384', { family: 'ec', hash: 'sha384', curve: 'secp384r1' }],
  ['ES512', { family: 'ec', hash: 'sha512', curve: 'secp521r1' }],
  ['EdDSA', { family: 'ed25519', hash: null }],
]);

export interface PublicKey {
  readonly key: KeyObject;
  readonly family: string;
  readonly curve: string | undefined;
  readonly bits: number | undefined;
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string;
}

export function isAlgorithm(alg: string): boolean {
  return ALGORITHMS.has(alg);
}

/** Whether keys of that kind and the algorithm go together at all, the curve aside. */
export function sameFamily(alg: string, key: PublicKey): boolean {
  return ALGORITHMS.get(alg)?.family === key.family;
}

export function verifies(alg: string, key: PublicKey, data: string, signature: Buffer): boolean {
  const algorithm = ALGORITHMS.get(alg);
  if (algorithm === undefined || algorithm.family !== key.family || algorithm.curve !== key.curve) return false;
  // RFC 7518 sections 3.3 and 3.5: RSA keys of 2048 bits or more.
  if (key.bits !== undefined && key.bits < 2048) return false;
  return verify(algorithm.hash, Buffer.from(data), verifyOptions(algorithm, key.key), signature);
}

function verifyOptions(algorithm: Algorithm, key: KeyObject) {
  if (algorithm.family === 'ec') return { key, dsaEncoding: 'ieee-p1363' as const };
  if (algorithm.pss === undefined) return { key };
  return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
}

// A stored JWK is replaced, never changed: the imported key can live exactly as long as it does.
const imported = new WeakMap<StoredJwk, PublicKey | null>();

/** The key in a JWK's own members, or in its PEM where `prefer` says so; null when there is none that can be imported. */
export function publicKey(jwk: StoredJwk, prefer: 'jwk' | 'pem'): PublicKey | null {
  if (prefer === 'pem' || jwk.kty === 'PEM') return once(pemKeys, jwk, () => createPublicKey(jwk.public_key_pem ?? ''));
  return once(imported, jwk, () => createPublicKey({ format: 'jwk', key: presentMembers(jwk) }));
}

const pemKeys = new WeakMap<StoredJwk, PublicKey | null>();

function once(cache: WeakMap<StoredJwk, PublicKey | null>, jwk: StoredJwk, load: () => KeyObject): PublicKey | null {
  const known = cache.get(jwk);
  if (known !== undefined) return known;
  const loaded = importKey(load);
  cache.set(jwk, loaded);
  return loaded;
}

export function describeKey(key: KeyObject): PublicKey {
  return {
    key,
    family: key.asymmetricKeyType ?? '',
    curve: key.asymmetricKeyDetails?.namedCurve,
    bits: key.asymmetricKeyDetails?.modulusLength,
    thumbprint: thumbprint(key),
  };
}

function importKey(load: () => KeyObject): PublicKey | null {
  try {
    return describeKey(load());
  } catch {
    return null;
  }
}

function presentMembers(jwk: StoredJwk) {
  const { kty, crv, x, y, n, e } = jwk;
  return Object.fromEntries(Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== null));
}

function thumbprint(key: KeyObject): string {
  const { kty, crv, x, y, n, e } = key.export({ format: 'jwk' });
  // RFC 7638 section 3.2: the required members in lexicographic order; those of other key types are undefined and left out by JSON.
  return createHash('sha256').update(JSON.stringify({ crv, e, kty, n, x, y })).digest('base64url');
}
