/** What a file with a private key may look like: PEM, DER, a JWK or a set with one, or the JSON of a service account. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { type Algorithm, isAlgorithm } from '../core/keys.ts';
import { members } from '../core/reply.ts';
import { RekeydError } from '../errors.ts';
import { labelOf } from './der.ts';
import { invalid, parse, publicOnly } from './invalid.ts';
import { keyFromDer, keyFromPem } from './pem.ts';
import { mixed } from './rsa.ts';

/** The longest usable key is a twentieth of that. What is longer was not meant, and could keep a parser busy. */
export const MOST_BYTES = 256 * 1024;

export interface ReadKey {
  readonly key: KeyObject;
  /** The alg that the key itself names. */
  readonly named: Algorithm | undefined;
}

/** @throws RekeydError `key_invalid` says what it is instead, and what to do; `algorithm_unsupported` when the JWK names an unknown alg */
export function readPrivateKey(given: string | Uint8Array, passphrase: Uint8Array | undefined): ReadKey {
  if (given.length > MOST_BYTES) {
    throw invalid(`The file is larger than ${MOST_BYTES / 1024} KiB`, 'Give a file that holds the private key alone');
  }
  const label = typeof given === 'string' ? null : kindOf(given);
  if (label !== null && typeof given !== 'string') {
    return { key: keyFromDer(label, given, passphrase), named: undefined };
  }
  const text = (typeof given === 'string' ? given : decoded(given)).replace(/^\uFEFF/, '').trim();
  if (text === '') throw invalid('The file is empty', 'Give the file with the private key');
  if (text.startsWith('{')) return fromJson(text, passphrase);
  const other = OTHER_KINDS.find(({ start }) => start.test(text));
  if (other !== undefined) throw invalid(other.what, other.hint);
  return { key: keyFromPem(text, passphrase), named: undefined };
}

const OTHER_KINDS = [
  {
    start: /^(?:ssh-|ecdsa-sha2-|sk-)/,
    what: 'This is a public key of OpenSSH',
    hint: 'Signing needs the private half, as PKCS#8 PEM: `ssh-keygen -p -m PKCS8 -f COPY` converts a copy of it',
  },
  {
    start: /^PuTTY-User-Key-File-/,
    what: 'This is a key of PuTTY',
    hint: 'Export it with PuTTYgen as an OpenSSH key, then `ssh-keygen -p -m PKCS8 -f COPY`',
  },
] as const;

/** The magic numbers of Java's key stores. */
const JAVA = new Set([0xfeedfeed, 0xcececece]);

/** The label of a binary file; null for a text. @throws RekeydError `key_invalid` for stores of keys */
function kindOf(bytes: Uint8Array): string | null {
  const store = 'export the key from it as PKCS#8 PEM: `openssl pkcs12 -in FILE -nocerts -nodes`';
  if (bytes.length > 4 && JAVA.has(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0))) {
    throw invalid('This is a Java key store', `Convert it with \`keytool -importkeystore\` to PKCS#12, then ${store}`);
  }
  const label = labelOf(bytes);
  if (label === 'PKCS12') throw invalid('This is a PKCS#12 store', `First ${store}`);
  return label;
}

/** Some programs write UTF-16, and say so with their first two bytes. */
function decoded(bytes: Uint8Array): string {
  const mark = `${bytes[0]} ${bytes[1]}`;
  const encoding = mark === '255 254' ? 'utf-16le' : mark === '254 255' ? 'utf-16be' : 'utf-8';
  return new TextDecoder(encoding).decode(bytes);
}

function fromJson(text: string, passphrase: Uint8Array | undefined): ReadKey {
  const parsed = members(parse((): unknown => JSON.parse(text)));
  if (Array.isArray(parsed.keys)) return fromSet(parsed.keys);
  // As Google's service accounts come.
  if (typeof parsed.private_key === 'string') {
    return { key: keyFromPem(parsed.private_key, passphrase), named: undefined };
  }
  return fromJwk(parsed);
}

function fromSet(keys: readonly unknown[]): ReadKey {
  const entries = keys.map((key) => members(key));
  const [only, ...others] = entries.filter(({ d, k }) => (d ?? k ?? null) !== null);
  if (only === undefined) throw publicOnly('This JWK Set holds no private key');
  if (others.length === 0) return fromJwk(only);
  const what = `This JWK Set holds ${others.length + 1} private keys`;
  throw invalid(what, 'Give a file with the one that the client signs with');
}

function fromJwk(given: Partial<Record<string, unknown>>): ReadKey {
  const jwk = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
  if (jwk.kty === 'oct' || 'k' in jwk) {
    throw invalid(
      'This is a symmetric key, which the server would have to know too',
      'private_key_jwt needs an RSA, EC or Ed25519 key',
    );
  }
  if (!('kty' in jwk)) throw invalid('This JSON holds no key', 'Give a private JWK, or a PEM file');
  if (!('d' in jwk)) throw publicOnly();
  if (jwk.use !== undefined && jwk.use !== 'sig') {
    throw invalid(`The JWK is meant for use ${quoted(jwk.use)}, not for signatures`, 'Use another key for signing');
  }
  const key = parse(() => createPrivateKey({ key: jwk, format: 'jwk' }));
  // Node takes the public half of an Ed25519 key from `d`, and looks at `x` no further.
  if (jwk.kty === 'OKP' && createPublicKey(key).export({ format: 'jwk' }).x !== jwk.x) throw mixed();
  return { key, named: namedAlgorithm(jwk.alg) };
}

function namedAlgorithm(alg: unknown): Algorithm | undefined {
  if (alg === undefined) return undefined;
  if (alg === 'Ed25519') return 'EdDSA'; // the fully specified name of the same (RFC 9864 section 2.2)
  if (typeof alg === 'string' && isAlgorithm(alg)) return alg;
  throw new RekeydError(
    'algorithm_unsupported',
    `The JWK names alg ${quoted(alg)}, which rekeyd cannot use. Import a key for a supported alg.`,
  );
}

/** What stands in place of a short name may be a secret. */
function quoted(value: unknown): string {
  return typeof value === 'string' && /^[\w+-]{1,16}$/.test(value) ? JSON.stringify(value) : '"…"';
}
