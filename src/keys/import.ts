import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { type Algorithm, isAlgorithm } from '../core/keys.ts';
import { RekeydError } from '../errors.ts';
import { algorithmsFor, MIN_MODULUS_LENGTH } from './algorithms.ts';
import { type FreshKey, freshKey, tooShort } from './generate.ts';
import { belongTogether } from './rsa.ts';

/** Beyond it OpenSSL refuses to verify, after it has signed for minutes. */
const MAX_MODULUS_LENGTH = 16_384;

/**
 * Reads a private key that rekeyd did not make: PEM (PKCS#8, PKCS#1, SEC 1; RFC 7468) or a private JWK (RFC 7517). Its algorithm is the one
 * that the JWK names, else `alg`, else the one of its curve, else RS256.
 *
 * @param alg what the key must be able to sign; a key that names or needs another is refused
 * @throws RekeydError `key_invalid` says what is wrong with it; `algorithm_unsupported` when the JWK names an unknown alg
 */
export async function importPrivateKey(text: string, alg?: Algorithm): Promise<FreshKey> {
  const { key, named } = text.trimStart().startsWith('{') ? fromJwk(text) : fromPem(text);
  return freshKey(key, chooseAlgorithm(key, named, alg));
}

interface Parsed {
  readonly key: KeyObject;
  /** The alg that the key itself names. */
  readonly named: Algorithm | undefined;
}

function fromPem(text: string): Parsed {
  if (text.includes('ENCRYPTED')) {
    throw invalid(
      'The PEM is encrypted with a passphrase',
      'Decrypt it first, for example with `openssl pkey -in FILE`',
    );
  }
  if (!text.includes('PRIVATE KEY-----')) {
    if (/-----BEGIN (?:[A-Z]+ )?(?:PUBLIC KEY|CERTIFICATE)-----/.test(text)) throw publicOnly();
    throw invalid('This is neither a PEM nor a JWK', 'Give a PEM file with "BEGIN PRIVATE KEY", or a private JWK');
  }
  const count = text.match(/-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/g)?.length ?? 0;
  if (count > 1) {
    throw invalid(`The PEM holds ${count} private keys`, 'Give a file with the one that the client signs with');
  }
  return { key: parse(() => createPrivateKey({ key: text, format: 'pem' })), named: undefined };
}

function fromJwk(text: string): Parsed {
  const jwk = parse((): Record<string, unknown> => JSON.parse(text));
  if (Array.isArray(jwk.keys)) {
    throw invalid('This is a JWK Set', 'Give the one private JWK out of its "keys" that the client signs with');
  }
  if (jwk.kty === 'oct' || 'k' in jwk) {
    throw invalid(
      'This is a symmetric key, which the server would have to know too',
      'private_key_jwt needs an RSA, EC or Ed25519 key',
    );
  }
  if (!('d' in jwk)) throw publicOnly();
  if (jwk.use !== undefined && jwk.use !== 'sig') {
    throw invalid(`The JWK is meant for use ${quoted(jwk.use)}, not for signatures`, 'Use another key for signing');
  }
  const key = parse(() => createPrivateKey({ key: jwk, format: 'jwk' }));
  // Node takes the public half of an Ed25519 key from `d`, and looks at `x` no further.
  if (jwk.kty === 'OKP' && createPublicKey(key).export({ format: 'jwk' }).x !== jwk.x) throw mixed();
  return { key, named: namedAlgorithm(jwk.alg) };
}

/** What stands in place of a short name may be a secret. */
function quoted(value: unknown): string {
  return typeof value === 'string' && /^[\w+-]{1,16}$/.test(value) ? JSON.stringify(value) : '"…"';
}

function namedAlgorithm(alg: unknown): Algorithm | undefined {
  if (alg === undefined || alg === null) return undefined;
  if (alg === 'Ed25519') return 'EdDSA'; // the fully specified name of the same (RFC 9864 section 2.2)
  if (typeof alg === 'string' && isAlgorithm(alg)) return alg;
  throw new RekeydError(
    'algorithm_unsupported',
    `The JWK names alg ${quoted(alg)}, which rekeyd cannot use. Import a key for a supported alg.`,
  );
}

function chooseAlgorithm(key: KeyObject, named: Algorithm | undefined, asked: Algorithm | undefined): Algorithm {
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
  const alg = named ?? asked ?? preferred;
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

/** A parser's own message may quote what it was given, so nothing of it goes on. */
function parse<T>(read: () => T): T {
  try {
    return read();
  } catch {
    throw invalid(
      'The private key cannot be read',
      'The file is damaged or of another kind; export the key again as PKCS#8 PEM',
    );
  }
}

function mixed(): RekeydError {
  return invalid(
    'The parts of the private key do not belong together',
    'It was damaged or put together from several: export it again',
  );
}

function publicOnly(): RekeydError {
  return invalid('This is a public key only', 'Signing needs the private half; give that file');
}

function invalid(what: string, hint: string): RekeydError {
  return new RekeydError('key_invalid', `${what}. ${hint}.`);
}
