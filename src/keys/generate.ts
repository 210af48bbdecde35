import { createPublicKey, KeyObject, randomBytes } from 'node:crypto';
import { CompactSign, calculateJwkThumbprint, compactVerify, generateKeyPair } from 'jose';
import type { PublicJwk } from '../core/document.ts';
import type { Algorithm } from '../core/keys.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { algorithmsFor, KEY_SHAPES, MIN_MODULUS_LENGTH } from './algorithms.ts';
import { rememberKey, spkiId } from './key-id.ts';
import { PrivateKey } from './private-key.ts';

/** The public half of a key in each form that is published. */
export interface PublicHalf {
  /** See {@link spkiId}. */
  readonly id: string;
  /** RFC 7638 SHA-256 thumbprint, base64url. */
  readonly thumbprint: string;
  /** The standard members only: `kty` with `n e` or `crv x y`. */
  readonly jwk: PublicJwk;
  /** SubjectPublicKeyInfo, PEM (RFC 7468 section 13). */
  readonly pem: string;
}

/** A key that has passed its self-test. */
export interface FreshKey extends PublicHalf {
  readonly alg: Algorithm;
  readonly privateKey: PrivateKey;
}

export interface KeyOptions {
  /** RSA only, in bits; 3072 when absent. */
  readonly modulusLength?: number;
}

/**
 * Makes a key pair, with its self-test.
 *
 * @throws RekeydError `key_invalid` when the modulus is too short or the new key fails its self-test
 */
export async function generateKey(alg: Algorithm, options: KeyOptions = {}): Promise<FreshKey> {
  return freshKey(await newPair(alg, options), alg);
}

/**
 * The private half of a new pair, not tested yet. The work happens on the thread pool, so a 4096-bit RSA key does not stop the event loop.
 *
 * @throws RekeydError `key_invalid` when the modulus is too short
 */
export async function newPair(alg: Algorithm, { modulusLength = 3072 }: KeyOptions): Promise<KeyObject> {
  if (KEY_SHAPES[alg].kty === 'RSA' && modulusLength < MIN_MODULUS_LENGTH) throw tooShort(modulusLength);
  const { privateKey } = await generateKeyPair(alg, { modulusLength, extractable: true });
  return KeyObject.from(privateKey);
}

/**
 * Describes a private key and shows that it works: what it signs must verify with the very public forms that will be published. A pair
 * that fails here would lock the client out once it is active.
 *
 * @throws RekeydError `key_invalid`
 */
export async function freshKey(key: KeyObject, alg: Algorithm): Promise<FreshKey> {
  const { published, ...half } = await publicForms(key);
  const payload = randomBytes(32);
  try {
    const jws = await new CompactSign(payload).setProtectedHeader({ alg }).sign(key);
    const { payload: verified } = await compactVerify(jws, published, { algorithms: [alg] });
    if (!payload.equals(verified)) throw new Error('another payload came back');
    if (!published.equals(createPublicKey(half.pem))) throw new Error('its JWK and its PEM are different keys');
  } catch (error) {
    throw new RekeydError(
      'key_invalid',
      `The ${alg} key ${half.thumbprint} failed its self-test (${messageOf(error)}): its private and public halves do not belong together, or it cannot sign ${alg}. It was not used; take another key.`,
      { cause: error },
    );
  }
  rememberKey(half);
  return { ...half, alg, privateKey: new PrivateKey(half.thumbprint, alg, key) };
}

/**
 * The public half of a private key, reduced to the standard members.
 *
 * @throws RekeydError `algorithm_unsupported` for a type or curve outside of {@link KEY_SHAPES}
 */
export async function publicFrom(key: PrivateKey | KeyObject): Promise<PublicHalf> {
  const { published: _, ...half } = await publicForms(key instanceof PrivateKey ? key.keyObject() : key);
  return half;
}

/** With the key as others read it from its JWK. */
async function publicForms(key: KeyObject): Promise<PublicHalf & { readonly published: KeyObject }> {
  const publicKey = createPublicKey(key);
  const { jwk, thumbprint } = await publicJwkFrom(publicKey);
  const published = createPublicKey({ key: jwk, format: 'jwk' });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  return { id: spkiId(published), thumbprint, jwk, pem, published };
}

/** The JWK and its thumbprint alone. */
export async function publicJwkFrom(publicKey: KeyObject): Promise<Pick<PublicHalf, 'jwk' | 'thumbprint'>> {
  const exported = publicKey.export({ format: 'jwk' });
  const [alg] = algorithmsFor(exported);
  if (alg === undefined) {
    throw new RekeydError(
      'algorithm_unsupported',
      'No supported algorithm signs with a key of this type. Use RSA, EC or Ed25519.',
    );
  }
  const { kty, members } = KEY_SHAPES[alg];
  const jwk: PublicJwk = { kty, ...Object.fromEntries(members.map((member) => [member, exported[member]])) };
  return { thumbprint: await calculateJwkThumbprint(jwk), jwk };
}

/** The error for an RSA key below {@link MIN_MODULUS_LENGTH}. */
export function tooShort(modulusLength: number): RekeydError {
  return new RekeydError(
    'key_invalid',
    `An RSA key of ${modulusLength} bits is too short to be safe, and servers refuse it. Use at least ${MIN_MODULUS_LENGTH} bits.`,
  );
}
