/** Keys by the names that the recorded calls give them, new in each run. */
import { constants, createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

const rsa = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength }).privateKey;
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).privateKey;

const KEYS: Readonly<Record<string, KeyObject>> = {
  rsa1: rsa(2048),
  rsa2: rsa(2048),
  rsa1024: rsa(1024),
  rsa4096: rsa(4096),
  ec1: ec('P-256'),
  ec384: ec('P-384'),
  ec521: ec('P-521'),
  ed: generateKeyPairSync('ed25519').privateKey,
};

export function keyOf(name: string): KeyObject {
  const key = KEYS[name];
  if (key === undefined) throw new Error(`there is no key ${name}`);
  return key;
}

export const publicJwk = (name: string) => createPublicKey(keyOf(name)).export({ format: 'jwk' });
export const privateJwk = (name: string) => keyOf(name).export({ format: 'jwk' });

const pem = (name: string, type: 'spki' | 'pkcs1' = 'spki') =>
  createPublicKey(keyOf(name)).export({ type, format: 'pem' }).toString();

/** A key as a text. */
export const PEMS: Readonly<Record<string, (name: string) => string>> = {
  pem,
  trim: (name) => pem(name).trim(),
  crlf: (name) => pem(name).replaceAll('\n', '\r\n'),
  'crlf trim': (name) => pem(name).trim().replaceAll('\n', '\r\n'),
  line: (name) => pem(name).replaceAll('\n', ' '),
  pkcs1: (name) => pem(name, 'pkcs1'),
  pkcs8: (name) => keyOf(name).export({ type: 'pkcs8', format: 'pem' }).toString(),
};

/** The signature of a JWS, for any alg that a header may name. */
export function signatureOf(alg: string, key: KeyObject | string, text: string): Buffer {
  const data = Buffer.from(text);
  const hash = `sha${alg.slice(2)}`;
  if (alg === 'none') return Buffer.alloc(0);
  if (typeof key === 'string') return createHmac(hash, key).update(data).digest();
  if (alg === 'EdDSA') return sign(null, data, key);
  if (alg.startsWith('ES')) return sign(hash, data, { key, dsaEncoding: 'ieee-p1363' });
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants;
  return sign(hash, data, alg.startsWith('PS') ? { key, padding, saltLength } : { key });
}
