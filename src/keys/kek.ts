/** Key encryption keys, and how each of them protects one text: a compact JWE (RFC 7516). */
import { CompactEncrypt, type CompactJWEHeaderParameters, compactDecrypt } from 'jose';
import { type Kms, type KmsContext, type MacKeys, newDataKey } from './kms.ts';

/** 32 bytes under a name that stays with everything encrypted under it. */
export interface LocalKek {
  readonly id: string;
  readonly key: Uint8Array;
}

/** One that a service keeps. */
export interface KmsKek {
  readonly id: string;
  readonly kms: Kms;
  readonly macKeys: MacKeys;
}

export type Kek = LocalKek | KmsKek;

/**
 * Encrypts under a KEK: with A256GCMKW (RFC 7518 section 4.7), or with a data key of its own, which the service wrapped, and which the header carries as
 * `wrapped`.
 *
 * @param header of the JWE, without `alg` and `enc`
 * @throws RekeydError as {@link Kms.wrap}
 */
export async function encryptUnder(
  kek: Kek,
  plaintext: Uint8Array,
  header: Readonly<Record<string, unknown>>,
  context: KmsContext,
): Promise<string> {
  const encrypt = (key: Uint8Array, more: CompactJWEHeaderParameters) =>
    new CompactEncrypt(plaintext).setProtectedHeader({ ...header, ...more }).encrypt(key);
  if ('key' in kek) return encrypt(kek.key, { alg: 'A256GCMKW', enc: 'A256GCM' });
  const { key, wrapped } = await newDataKey(kek.kms, context);
  try {
    return await encrypt(key, { alg: 'dir', enc: 'A256GCM', wrapped });
  } finally {
    key.fill(0);
  }
}

/**
 * @param wrapped as the JWE's header has it
 * @throws jose's errors; RekeydError as {@link Kms.unwrap}
 */
export async function decryptUnder(kek: Kek, jwe: string, wrapped: unknown, context: KmsContext) {
  const decrypt = (key: Uint8Array, alg: string) =>
    compactDecrypt(jwe, key, { keyManagementAlgorithms: [alg], contentEncryptionAlgorithms: ['A256GCM'] });
  if ('key' in kek) return decrypt(kek.key, 'A256GCMKW');
  const key = await kek.kms.unwrap(String(wrapped), context);
  try {
    return await decrypt(key, 'dir');
  } finally {
    key.fill(0);
  }
}
