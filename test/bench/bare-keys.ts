/** What a rotation does with keys, with jose and as cheaply as it goes: keys stay `CryptoKey`s, and the KEK is imported once. */
import { createPrivateKey, createPublicKey, KeyObject, randomBytes } from 'node:crypto';
import {
  CompactEncrypt,
  CompactSign,
  type CryptoKey,
  calculateJwkThumbprint,
  compactDecrypt,
  compactVerify,
  generateKeyPair,
  importJWK,
  type JWK,
  SignJWT,
} from 'jose';

/** As in rekeyd. */
const ASSERTION_S = 60;

export interface PublicHalf {
  readonly alg: string;
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  /** The public members. */
  readonly jwk: JWK;
  /** SubjectPublicKeyInfo. */
  readonly pem: string;
}

export interface BareKey extends PublicHalf {
  readonly privateKey: KeyObject;
  /** The same for WebCrypto, where it is at hand. */
  readonly signer: CryptoKey | KeyObject;
}

/** Makes a key, and shows that what it signs verifies with what will be published of it. */
export async function makeKey(alg: string): Promise<BareKey> {
  const pair = await generateKeyPair(alg, { modulusLength: 2048, extractable: true });
  const publicKey = KeyObject.from(pair.publicKey);
  const { kty = '', ...members } = publicKey.export({ format: 'jwk' });
  const jwk = { kty, ...members };
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const payload = randomBytes(32);
  const jws = await new CompactSign(payload).setProtectedHeader({ alg }).sign(pair.privateKey);
  const verified = await compactVerify(jws, await importJWK(jwk, alg));
  if (!payload.equals(verified.payload) || !createPublicKey(pem).equals(publicKey)) throw new Error('a key is broken');
  const kid = await calculateJwkThumbprint(jwk);
  return { alg, kid, jwk, pem, privateKey: KeyObject.from(pair.privateKey), signer: pair.privateKey };
}

/** The key as a server publishes it. */
export function published({ alg, kid, jwk, pem }: PublicHalf): object {
  return { ...jwk, kid, use: 'sig', alg, public_key_pem: pem };
}

/** @param secret 32 bytes */
export function importKek(secret: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', secret, 'AES-GCM', false, ['encrypt', 'decrypt']);
}

/** A compact JWE whose protected header says whose key it is, as rekeyd seals it. */
export function seal({ kid, privateKey }: BareKey, client: string, kek: CryptoKey): Promise<string> {
  return new CompactEncrypt(privateKey.export({ type: 'pkcs8', format: 'der' }))
    .setProtectedHeader({ alg: 'A256GCMKW', enc: 'A256GCM', cty: 'pkcs8', kid: 'bench', client, jkt: kid })
    .encrypt(kek);
}

/** @param half what is known of the key without its private half */
export async function unseal(half: PublicHalf, jwe: string, kek: CryptoKey): Promise<BareKey> {
  const { plaintext } = await compactDecrypt(jwe, kek);
  const privateKey = createPrivateKey({ key: Buffer.from(plaintext), type: 'pkcs8', format: 'der' });
  return { ...half, privateKey, signer: privateKey };
}

/** A client assertion (RFC 7523 section 3). */
export function signAssertion({ alg, kid, signer }: BareKey, clientId: string, audience: string): Promise<string> {
  const issuedAt = Math.floor(Date.now() / 1000);
  return new SignJWT()
    .setProtectedHeader({ alg, kid, typ: 'JWT' })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(audience)
    .setJti(crypto.randomUUID())
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + ASSERTION_S)
    .sign(signer);
}
