/**
 * A document that only somebody with a KEK can make, although it lies where others may write: a JWS (RFC 7515, HS256) under a key for this purpose and no
 * other. It is derived from the first KEK (HKDF, RFC 5869); where that is in a KMS, the process makes one, and the header carries it wrapped.
 */
import { hkdfSync } from 'node:crypto';
import { CompactSign, compactVerify, decodeProtectedHeader } from 'jose';
import { hasCode, RekeydError } from '../errors.ts';
import type { Kek, LocalKek } from './kek.ts';

/**
 * @param purpose what the document is; another purpose is another key
 * @throws RekeydError `kek_missing`, `kms_unavailable`
 */
export async function signDocument(text: string, purpose: string, keks: readonly Kek[]): Promise<string> {
  const [kek] = keks;
  if (kek === undefined) throw new RekeydError('kek_missing', 'No KEK is configured. Add one under encryption.keks.');
  const header = { alg: 'HS256', kid: kek.id };
  const document = new CompactSign(new TextEncoder().encode(text));
  if ('key' in kek) return document.setProtectedHeader(header).sign(derived(kek, purpose));
  const { key, wrapped } = await kek.macKeys.own(purpose);
  return document.setProtectedHeader({ ...header, wrapped }).sign(key);
}

/**
 * @returns the text that was signed
 * @throws RekeydError `kek_missing` when its KEK is not among `keks`; `key_tampered` when somebody without that KEK made it; `kms_unavailable`
 */
export async function verifyDocument(jws: string, purpose: string, keks: readonly Kek[]): Promise<string> {
  const { kid: id, wrapped } = headerOf(jws);
  const kek = keks.find((one) => one.id === id);
  if (kek === undefined) {
    throw new RekeydError(
      'kek_missing',
      `The ${purpose} are signed under the KEK ${JSON.stringify(String(id).slice(0, 128))}, which is not configured. Put it back under encryption.keks.`,
    );
  }
  try {
    const key = 'key' in kek ? derived(kek, purpose) : await kek.macKeys.open(String(wrapped), purpose);
    const { payload } = await compactVerify(jws, key, { algorithms: ['HS256'] });
    return new TextDecoder().decode(payload);
  } catch (error) {
    if (hasCode(error, 'kms_unavailable')) throw error;
    throw new RekeydError(
      'key_tampered',
      `The ${purpose} in the store were not made with the KEK ${kek.id}: somebody changed them, or the KEK has another value here.`,
      { cause: error },
    );
  }
}

/** The id of the KEK that a document is signed under. */
export function signerOf(jws: string): unknown {
  return headerOf(jws).kid;
}

function headerOf(jws: string): { readonly kid?: unknown; readonly wrapped?: unknown } {
  try {
    return decodeProtectedHeader(jws);
  } catch {
    return { kid: 'of no name' }; // it is no JWS
  }
}

/** 32 bytes, as RFC 7518 section 3.2 asks for with HS256. */
function derived(kek: LocalKek, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', kek.key, '', `rekeyd ${purpose}`, 32));
}
