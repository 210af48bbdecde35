import { createPublicKey } from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';

/** RFC 7638 thumbprints of the keys in a PATCH body or a stored client, in order. */
export async function thumbprints(document: unknown): Promise<string[]> {
  const { jwks, public_key_pem: pem } = document as { jwks?: { keys: JWK[] } | null; public_key_pem?: string | null }; // a body that the emulator took
  if (jwks) return Promise.all(jwks.keys.map((key) => thumbprint(key)));
  return pem ? [await thumbprint({ kty: 'PEM', public_key_pem: pem })] : [];
}

function thumbprint(jwk: JWK & { public_key_pem?: string }): Promise<string> {
  if (jwk.kty !== 'PEM') return calculateJwkThumbprint(jwk);
  return calculateJwkThumbprint(createPublicKey(jwk.public_key_pem ?? '').export({ format: 'jwk' }) as JWK); // RSA, EC or OKP: a JWK that jose knows
}
