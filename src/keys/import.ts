import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Algorithm } from '../core/keys.ts';
import { algorithmsFor, MIN_MODULUS_LENGTH } from './algorithms.ts';
import { type FreshKey, freshKey, tooShort } from './generate.ts';
import { invalid } from './invalid.ts';
import { readPrivateKey } from './private-file.ts';
import { belongTogether, mixed } from './rsa.ts';

/** Beyond it OpenSSL refuses to verify, after it has signed for minutes. */
const MAX_MODULUS_LENGTH = 16_384;

export interface ImportOptions {
  /** What the client is registered with: taken where neither the key nor the caller says. */
  readonly registered?: Algorithm;
  /** For an encrypted PEM. */
  readonly passphrase?: Uint8Array;
}

/**
 * Reads a private key that rekeyd did not make, in any of the forms that {@link readPrivateKey} knows. Its algorithm is the one that the JWK names, else
 * `alg`, else the registered one, else the one of its curve, else RS256.
 *
 * @param alg what the key must be able to sign; a key that names or needs another is refused
 * @throws RekeydError `key_invalid` says what is wrong with it; `algorithm_unsupported` when the JWK names an unknown alg
 */
export async function importPrivateKey(
  given: string | Uint8Array,
  alg?: Algorithm,
  { registered, passphrase }: ImportOptions = {},
): Promise<FreshKey> {
  const { key, named } = readPrivateKey(given, passphrase);
  return freshKey(key, chooseAlgorithm(key, named, alg, registered));
}

function chooseAlgorithm(
  key: KeyObject,
  named: Algorithm | undefined,
  asked: Algorithm | undefined,
  registered: Algorithm | undefined,
): Algorithm {
  const fitting = fittingAlgorithms(key);
  const [preferred] = fitting;
  if (preferred === undefined) {
    throw invalid(
      `Keys of type ${describe(key)} are not supported`,
      'Use RSA, an EC key on P-256, P-384 or P-521, or Ed25519',
    );
  }
  if (named !== undefined && asked !== undefined && named !== asked) {
    throw invalid(
      `The JWK is for alg ${named}, but ${asked} is asked for`,
      `Import it as ${named}, or give another key`,
    );
  }
  const alg = named ?? asked ?? registered ?? preferred;
  if (!fitting.includes(alg)) {
    throw invalid(`A key of type ${describe(key)} cannot sign ${alg}`, `It fits ${fitting.join(', ')}`);
  }
  return alg;
}

function fittingAlgorithms(key: KeyObject): Algorithm[] {
  // "rsa-pss" keys carry their parameters in the SubjectPublicKeyInfo, which JWK cannot express: only plain RSA goes on.
  if (key.asymmetricKeyType === 'rsa') {
    const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
    if (modulusLength < MIN_MODULUS_LENGTH) throw tooShort(modulusLength);
    if (modulusLength > MAX_MODULUS_LENGTH) {
      throw invalid(`An RSA key of ${modulusLength} bits is too long`, `Use at most ${MAX_MODULUS_LENGTH} bits`);
    }
    // With the exponent 1 a signature is its own message: it verifies, and anybody can make it.
    if (publicExponent < 3n)
      throw invalid('The public exponent of this RSA key is unsafe', 'Use a key with the exponent 65537');
    if (!belongTogether(key.export({ format: 'jwk' }))) throw mixed();
    return algorithmsFor({ kty: 'RSA' });
  }
  try {
    return algorithmsFor(createPublicKey(key).export({ format: 'jwk' }));
  } catch {
    return []; // a type or curve that JWK has no name for
  }
}

function describe(key: KeyObject): string {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  return curve === undefined ? String(key.asymmetricKeyType) : `${key.asymmetricKeyType} on ${curve}`;
}
