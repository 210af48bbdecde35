/**
 * A document that only somebody with a KEK can make, although it lies where others may write: a JWS (RFC 7515, HS256) under a key that is derived from the
 * first KEK (HKDF, RFC 5869) for this purpose and no other.
 */
import { hkdfSync } from 'node:crypto';
import { CompactSign, compactVerify, decodeProtectedHeader } from 'jose';
import { RekeydError } from '../errors.ts';
import type { Kek } from './sealed.ts';

/** @param purpose what the document is; another purpose is another key */
export async function signDocument(text: string, purpose: string, keks: readonly Kek[]): Promise<string> {
  const [kek] = keks;
  if (kek === undefined) throw new RekeydError('kek_missing', 'No KEK is configured. Add one under encryption.keks.');
  return new CompactSign(new TextEncoder().encode(text))
    .setProtectedHeader({ alg: 'HS256', kid: kek.id })
    .sign(keyFor(kek, purpose));
}

/**
 * @returns the text that was signed
 * @throws RekeydError `kek_missing` when its KEK is not among `keks`; `key_tampered` when somebody without that KEK made it
 */
export async function verifyDocument(jws: string, purpose: string, keks: readonly Kek[]): Promise<string> {
  const id = kekIdOf(jws);
  const kek = keks.find((one) => one.id === id);
  if (kek === undefined) {
    throw new RekeydError(
      'kek_missing',
      `The ${purpose} are signed under the KEK ${JSON.stringify(String(id).slice(0, 128))}, which is not configured. Put it back under encryption.keks.`,
    );
  }
  try {
    const { payload } = await compactVerify(jws, keyFor(kek, purpose), { algorithms: ['HS256'] });
    return new TextDecoder().decode(payload);
  } catch (error) {
    throw new RekeydError(
      'key_tampered',
      `The ${purpose} in the store were not made with the KEK ${kek.id}: somebody changed them, or the KEK has another value here.`,
      { cause: error },
    );
  }
}

function kekIdOf(jws: string): unknown {
  try {
    return decodeProtectedHeader(jws).kid;
  } catch {
    return 'of no name'; // it is no JWS
  }
}

/** 32 bytes, as RFC 7518 section 3.2 asks for with HS256. */
function keyFor(kek: Kek, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', kek.key, '', `rekeyd ${purpose}`, 32));
}
