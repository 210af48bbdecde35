/** Keys as the checker reads them: with Node's own cryptography, and with nothing of rekeyd's. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  randomUUID,
  sign,
} from 'node:crypto';
import { compactDecrypt } from 'jose';
import type { LogEntry } from '../../emulator/log.ts';
import type { StoredDocument } from '../evidence/evidence.ts';
import type { JwkMembers } from '../evidence/history.ts';
import type { FaultClient } from '../stage/fleet.ts';

/** RFC 7638 section 3.2: the required members, in this order. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
};

/** RFC 7638 SHA-256 thumbprint of a public or private JWK, or of one that only holds a PEM. */
export function thumbprintOf(jwk: JwkMembers): string {
  const { kty, public_key_pem: pem } = jwk;
  if (kty === 'PEM') return thumbprintOfKey(createPublicKey(String(pem)));
  const members = REQUIRED[String(kty)];
  if (members === undefined) return `unknown ${String(kty)}`;
  const canonical = JSON.stringify(Object.fromEntries(members.map((member) => [member, jwk[member]])));
  return createHash('sha256').update(canonical).digest('base64url');
}

export function thumbprintOfKey(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return thumbprintOf({ ...publicKey.export({ format: 'jwk' }) });
}

/** The key that a client began with. */
export function initialOf({ initial }: FaultClient): string {
  return thumbprintOf({ ...initial.jwk });
}

/** Keys of others, by thumbprint. */
export function othersOf({ foreign, visitors }: FaultClient): readonly string[] {
  return [...foreign, ...visitors].map(thumbprintOf);
}

/** All keys that a PATCH body publishes by itself. */
export function keysIn(body: unknown): readonly JwkMembers[] {
  const { jwks, public_key_pem: pem } = (body ?? {}) as { jwks?: { keys: JwkMembers[] }; public_key_pem?: string }; // a body that the server took
  if (jwks) return jwks.keys;
  return pem ? [{ kty: 'PEM', public_key_pem: pem }] : [];
}

/** The body of the PATCH that sends this document. */
export function bodyOf(document: StoredDocument): object {
  const alg = { token_endpoint_auth_signing_alg: document.alg };
  switch (document.format) {
    case 'jwks':
      return { jwks: { keys: document.keys.map(({ jwk }) => jwk) }, ...alg };
    case 'pem':
      return { public_key_pem: document.pem, ...alg };
    case 'jwks_uri':
      return { jwks_uri: document.uri, ...alg };
  }
}

/** A PATCH that changes something: an empty one only looks. */
export function carriesKeys({ method, body }: LogEntry): boolean {
  return method === 'PATCH' && typeof body === 'object' && body !== null && Object.keys(body).length > 0;
}

/** A member that is null is one that is not there. */
export function sameMembers(one: JwkMembers, other: JwkMembers): boolean {
  const [first, second] = [one, other].map((jwk) =>
    Object.entries(jwk)
      .filter(([, value]) => value !== null)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  return JSON.stringify(first) === JSON.stringify(second);
}

export function thumbprintsIn(body: unknown): readonly string[] {
  return keysIn(body).map(thumbprintOf);
}

export function privateKeyOf(jwk: JwkMembers): KeyObject {
  return createPrivateKey({ key: { ...jwk } as JsonWebKey, format: 'jwk' }); // a file that says it is one
}

/** @throws when it does not open, or is no private key */
export async function openSealed(jwe: string, kek: Uint8Array): Promise<KeyObject> {
  const { plaintext } = await compactDecrypt(jwe, kek);
  return createPrivateKey({ key: Buffer.from(plaintext), format: 'der', type: 'pkcs8' });
}

/** Node's names for the algs of the fleet, each with its form of signature (RFC 7518 section 3.4 for ECDSA). */
const SIGNED: Readonly<Record<string, { hash: string | null; options: object }>> = {
  ES256: { hash: 'sha256', options: { dsaEncoding: 'ieee-p1363' } },
  ES384: { hash: 'sha384', options: { dsaEncoding: 'ieee-p1363' } },
  ES512: { hash: 'sha512', options: { dsaEncoding: 'ieee-p1363' } },
  RS256: { hash: 'sha256', options: {} },
  EdDSA: { hash: null, options: {} },
};

/** A client assertion (RFC 7523 section 3). */
export function assertionOf(key: KeyObject, alg: string, kid: string, clientId: string, audience: string): string {
  const how = SIGNED[alg];
  if (how === undefined) throw new Error(`the checker does not sign ${alg}`);
  const now = Math.floor(Date.now() / 1000);
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { iss: clientId, sub: clientId, aud: audience, iat: now, exp: now + 60, jti: randomUUID() };
  const signed = `${encoded({ alg, kid, typ: 'JWT' })}.${encoded(claims)}`;
  const signature = sign(how.hash, Buffer.from(signed), { key, ...how.options });
  return `${signed}.${signature.toString('base64url')}`;
}
