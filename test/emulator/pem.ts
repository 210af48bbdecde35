/**
 * PEM read as the platform's JWT library reads it: the first block, whatever stands around it, with white space of any kind in it, as PKCS#8, SPKI
 * or PKCS#1 (RSA only).
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { describeKey, type PublicKey } from './signature.ts';
import type { StoredJwk } from './wire.ts';

export interface PemKey {
  readonly family: 'rsa' | 'ec';
  /** Null: it passes for a key of that family, and nothing verifies with it. */
  readonly key: PublicKey | null;
}

// A stored JWK is replaced, never changed: what its PEM says can be kept exactly as long as it is.
const known = { rsa: new WeakMap<StoredJwk, PemKey | null>(), ec: new WeakMap<StoredJwk, PemKey | null>() };

/** The key in a JWK's PEM; null when that is no key of the family. */
export function pemKey(jwk: StoredJwk, family: PemKey['family']): PemKey | null {
  const found = known[family].get(jwk) ?? readPem(jwk.public_key_pem ?? '', family);
  known[family].set(jwk, found);
  return found;
}

function readPem(pem: string, family: PemKey['family']): PemKey | null {
  const [, label = '', text = ''] = /-----BEGIN ([^-]+)-----([^-]*)-----END \1-----/.exec(pem) ?? [];
  const der = Buffer.from(text.replace(/\s/g, ''), 'base64');
  try {
    const found = readers[label]?.(der);
    return found !== undefined && found.family === family ? found : null;
  } catch {
    return null;
  }
}

const readers: Readonly<Record<string, (der: Buffer) => PemKey>> = {
  'PUBLIC KEY': (key) => usable(createPublicKey({ key, format: 'der', type: 'spki' })),
  'RSA PUBLIC KEY': (key) => usable(createPublicKey({ key, format: 'der', type: 'pkcs1' })),
  // A private RSA key passes and its bytes are then no public key; a private EC key does not pass.
  'PRIVATE KEY': (key) => useless(createPrivateKey({ key, format: 'der', type: 'pkcs8' })),
  'RSA PRIVATE KEY': (key) => useless(createPrivateKey({ key, format: 'der', type: 'pkcs1' })),
};

function usable(found: KeyObject): PemKey {
  return { family: familyOf(found), key: describeKey(found) };
}

function useless(found: KeyObject): PemKey {
  if (found.asymmetricKeyType !== 'rsa') throw new Error('no key to verify with');
  return { family: 'rsa', key: null };
}

function familyOf({ asymmetricKeyType }: KeyObject): PemKey['family'] {
  if (asymmetricKeyType === 'rsa' || asymmetricKeyType === 'ec') return asymmetricKeyType;
  throw new Error(`a key of type ${asymmetricKeyType}`);
}
