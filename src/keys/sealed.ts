/**
 * A private key at rest: its PKCS#8 DER as a compact JWE (RFC 7516) under a key encryption key. The protected header names the client and the key, so a JWE that somebody moved to another client or another key is found out.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { decodeProtectedHeader, errors } from 'jose';
import type { Algorithm } from '../core/keys.ts';
import { hasCode, RekeydError } from '../errors.ts';
import { algorithmsFor } from './algorithms.ts';
import { publicJwkFrom } from './generate.ts';
import { decryptUnder, encryptUnder, type Kek } from './kek.ts';
import { PrivateKey } from './private-key.ts';

/** What a sealed key belongs to: the client reference and the key's RFC 7638 thumbprint. */
export interface SealBinding {
  readonly ref: string;
  readonly thumbprint: string;
}

/**
 * Encrypts a private key under the first KEK.
 *
 * @returns a compact JWE; its protected header carries the KEK's id (`kid`), the client reference (`client`) and the thumbprint (`jkt`)
 * @throws RekeydError `kek_missing` without a KEK; `key_invalid` when this is not the thumbprint of the key; `kms_unavailable`
 */
export async function sealKey(privateKey: PrivateKey, binding: SealBinding, keks: readonly Kek[]): Promise<string> {
  // Sealed under a wrong thumbprint, the key could never be opened again.
  if (privateKey.thumbprint !== binding.thumbprint) {
    throw new RekeydError(
      'key_invalid',
      `The private key to be sealed for ${binding.ref} is not ${binding.thumbprint}. Nothing was stored; this is a bug, please report it.`,
    );
  }
  return seal(privateKey.keyObject(), binding, firstOf(keks));
}

/**
 * Decrypts a private key and makes sure that it is the one asked for.
 *
 * @throws RekeydError `kek_missing` when its KEK is not among `keks`; `key_tampered` when it fails authentication or is another key's; `kms_unavailable`
 */
export async function openKey(
  jwe: string,
  expected: SealBinding & { readonly alg: Algorithm },
  keks: readonly Kek[],
): Promise<PrivateKey> {
  const { key, jwk } = await unseal(jwe, expected, keks);
  if (!algorithmsFor(jwk).includes(expected.alg)) throw tampered(expected, `it cannot sign ${expected.alg}`);
  return new PrivateKey(expected.thumbprint, expected.alg, key);
}

/**
 * The same private key under the first KEK, or null when it is under that already.
 *
 * @throws RekeydError as {@link openKey}
 */
export async function rewrapKey(jwe: string, binding: SealBinding, keks: readonly Kek[]): Promise<string | null> {
  const first = firstOf(keks);
  // Opened in any case: a KEK may have another value under the same id.
  const { key } = await unseal(jwe, binding, keks);
  if (headerOf(jwe, binding).kid === first.id) return null;
  return seal(key, binding, first, keksIn(jwe));
}

/** How many earlier KEKs a sealed key remembers. */
const MOST_BEFORE = 20;

/**
 * The ids of the KEKs that a private key is, or was, sealed under, the present one first. Who has one of them and an old copy of the store can read the
 * key, so a KEK that leaked exposes also what was sealed anew since. Empty for what is no JWE.
 */
export function keksIn(jwe: string): readonly string[] {
  try {
    const { kid, before } = decodeProtectedHeader(jwe);
    return [kid, ...(Array.isArray(before) ? before : [])].filter((id) => typeof id === 'string');
  } catch {
    return [];
  }
}

/** @param before ids of KEKs that it was sealed under */
async function seal(
  key: KeyObject,
  { ref, thumbprint }: SealBinding,
  kek: Kek,
  before: readonly string[] = [],
): Promise<string> {
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' });
  try {
    const header = {
      cty: 'pkcs8',
      kid: kek.id,
      client: ref,
      jkt: thumbprint,
      ...(before.length > 0 && { before: [...new Set(before)].slice(0, MOST_BEFORE) }),
    };
    return await encryptUnder(kek, pkcs8, header, { client: ref, jkt: thumbprint });
  } finally {
    pkcs8.fill(0);
  }
}

async function unseal(jwe: string, expected: SealBinding, keks: readonly Kek[]) {
  const { kid, wrapped } = headerOf(jwe, expected);
  const { plaintext, protectedHeader } = await decrypt(jwe, wrapped, expected, kekFor(kid, keks));
  try {
    if (protectedHeader.client !== expected.ref) throw tampered(expected, 'it was sealed for another client');
    if (protectedHeader.jkt !== expected.thumbprint) throw tampered(expected, 'it was sealed as another key');
    const key = parse(plaintext, expected);
    const { thumbprint, jwk } = await publicJwkFrom(createPublicKey(key));
    if (thumbprint !== expected.thumbprint) throw tampered(expected, 'another key is inside');
    return { key, jwk };
  } finally {
    plaintext.fill(0);
  }
}

async function decrypt(jwe: string, wrapped: unknown, expected: SealBinding, kek: Kek) {
  const { ref: client, thumbprint: jkt } = expected;
  try {
    return await decryptUnder(kek, jwe, wrapped, { client, jkt });
  } catch (error) {
    if (error instanceof errors.JOSEError || hasCode(error, 'key_tampered'))
      throw tampered(expected, `it does not decrypt with the KEK ${kek.id}`, error);
    throw error;
  }
}

function parse(pkcs8: Uint8Array, expected: SealBinding): KeyObject {
  const view = Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.byteLength);
  try {
    return createPrivateKey({ key: view, format: 'der', type: 'pkcs8' });
  } catch {
    throw tampered(expected, 'no private key is inside'); // the parser's error could quote what it read
  }
}

function headerOf(jwe: string, expected: SealBinding) {
  try {
    return decodeProtectedHeader(jwe);
  } catch (error) {
    throw tampered(expected, 'its header cannot be read', error);
  }
}

function kekFor(id: unknown, keks: readonly Kek[]): Kek {
  const found = keks.find((kek) => kek.id === id);
  if (found !== undefined) return found;
  throw new RekeydError(
    'kek_missing',
    `A private key is sealed under the KEK ${typeof id === 'string' ? JSON.stringify(id.slice(0, 128)) : 'of no name'}, which is not configured, so it cannot be used. Put that KEK back under encryption.keks (after the first, if it is an old one), then run "keys rewrap" before removing it.`,
  );
}

function firstOf(keks: readonly Kek[]): Kek {
  const [first] = keks;
  if (first !== undefined) return first;
  throw new RekeydError(
    'kek_missing',
    'No key encryption key is configured, so private keys cannot be stored. Add one under encryption.keks.',
  );
}

function tampered({ ref, thumbprint }: SealBinding, why: string, cause?: unknown): RekeydError {
  return new RekeydError(
    'key_tampered',
    `The sealed private key ${thumbprint} of ${ref} cannot be trusted: ${why}. The store was changed behind rekeyd's back, or a KEK's value was replaced under the same id. Find out which before going on; the client can be given a new key by rotating it as compromised.`,
    { cause },
  );
}
