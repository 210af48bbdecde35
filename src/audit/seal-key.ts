/** The key that signs checkpoints: Ed25519, its private half in the store under the KEKs, as a client's are, and under a name that no client has. */
import { hasCode, RekeydError } from '../errors.ts';
import { generateKey, publicFrom } from '../keys/generate.ts';
import type { Kek } from '../keys/kek.ts';
import type { PrivateKey } from '../keys/private-key.ts';
import { openKey, rewrapKey, sealKey } from '../keys/sealed.ts';

export interface SealKey {
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  /** The public half, as `x` of its JWK. */
  readonly x: string;
  readonly privateKey: PrivateKey;
}

/** Is sealed with the key where a client's key has the client's reference. No client has this name: references have slashes. */
const OWNER = 'the audit log';

/** @throws RekeydError `kek_missing` */
export async function newSealKey(keks: readonly Kek[]): Promise<SealKey & { readonly jwe: string }> {
  const { privateKey, thumbprint: kid, jwk } = await generateKey('EdDSA');
  const jwe = await sealKey(privateKey, { ref: OWNER, thumbprint: kid }, keks);
  return { kid, x: String(jwk.x), privateKey, jwe };
}

/** @throws RekeydError `kek_missing`, `key_tampered` */
export async function openSealKey(jwe: string, kid: string, keks: readonly Kek[]): Promise<SealKey> {
  try {
    const privateKey = await openKey(jwe, { ref: OWNER, thumbprint: kid, alg: 'EdDSA' }, keks);
    const { jwk } = await publicFrom(privateKey);
    return { kid, x: String(jwk.x), privateKey };
  } catch (error) {
    throw explained(error);
  }
}

/** The same key under the first KEK; null when it is under that already. @throws RekeydError `kek_missing`, `key_tampered` */
export async function rewrapSealKey(jwe: string, kid: string, keks: readonly Kek[]): Promise<string | null> {
  return rewrapKey(jwe, { ref: OWNER, thumbprint: kid }, keks).catch((error: unknown) => {
    throw explained(error);
  });
}

function explained(error: unknown): unknown {
  if (!hasCode(error, 'kek_missing') && !hasCode(error, 'key_tampered')) return error;
  const why =
    error.code === 'kek_missing'
      ? 'its KEK is not configured: put that back under encryption.keks'
      : 'it was changed, or its KEK has another value here: correct encryption.keks';
  return new RekeydError(
    error.code,
    `The key that signs the audit log cannot be opened: ${why}. Until then the log is not sealed; rotations go on. If it is lost for good, run \`rekeyd audit new-segment --reason TEXT\`.`,
    { cause: error },
  );
}
