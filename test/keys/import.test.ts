import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Algorithm } from '../../src/core/keys.ts';
import { importPrivateKey } from '../../src/keys/import.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const shortRsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
const oddRsa = generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey;
const ec = { p256: curve('P-256'), p384: curve('P-384'), p521: curve('P-521'), k1: curve('secp256k1') };
const brainpool = curve('brainpoolP256r1');
const ed25519 = generateKeyPairSync('ed25519').privateKey;
const ed448 = generateKeyPairSync('ed448').privateKey;
const x25519 = generateKeyPairSync('x25519').privateKey;

function curve(namedCurve: string): KeyObject {
  return generateKeyPairSync('ec', { namedCurve }).privateKey;
}

function pem(key: KeyObject, type: 'pkcs1' | 'pkcs8' | 'sec1' = 'pkcs8'): string {
  return key.export({ type, format: 'pem' }).toString();
}

function jwk(key: KeyObject, more: object = {}): string {
  return JSON.stringify({ ...key.export({ format: 'jwk' }), ...more });
}

function publicPem(key: KeyObject): string {
  const { d: _, ...rest } = key.export({ format: 'jwk' });
  return JSON.stringify(rest);
}

interface Accepted {
  what: string;
  text: string;
  asked?: Algorithm;
  alg: Algorithm;
}

const accepted: Accepted[] = [
  { what: 'RSA PKCS#8', text: pem(rsa), alg: 'RS256' },
  { what: 'RSA PKCS#1', text: pem(rsa, 'pkcs1'), alg: 'RS256' },
  { what: 'RSA for a given alg', text: pem(rsa), asked: 'PS512', alg: 'PS512' },
  { what: 'RSA JWK that names its alg', text: jwk(rsa, { alg: 'RS384', use: 'sig', kid: 'mine' }), alg: 'RS384' },
  { what: 'RSA JWK without alg', text: jwk(rsa), alg: 'RS256' },
  { what: 'P-256 PKCS#8', text: pem(ec.p256), alg: 'ES256' },
  { what: 'P-256 SEC 1', text: pem(ec.p256, 'sec1'), alg: 'ES256' },
  { what: 'P-384 with text around the PEM', text: `notes\n${pem(ec.p384)}\nmore`, alg: 'ES384' },
  { what: 'P-521 JWK', text: `\n  ${jwk(ec.p521)}`, asked: 'ES512', alg: 'ES512' },
  { what: 'Ed25519 PKCS#8', text: pem(ed25519), alg: 'EdDSA' },
  { what: 'Ed25519 JWK under its new name', text: jwk(ed25519, { alg: 'Ed25519' }), alg: 'EdDSA' },
];

describe('accepted:', () => {
  test.each(accepted)('$what as $alg', async ({ text, asked, alg }) => {
    const key = await importPrivateKey(text, asked);
    expect(key.alg).toBe(alg);
    expect(key.privateKey.alg).toBe(alg);
    expect(key.jwk).not.toHaveProperty('d');
    expect(key.jwk).not.toHaveProperty('alg');
  });

  test('the same key has the same name in every encoding', async () => {
    const keys = await Promise.all(
      [pem(rsa), pem(rsa, 'pkcs1'), jwk(rsa, { kid: 'x' })].map((t) => importPrivateKey(t)),
    );
    expect(new Set(keys.map(({ id, thumbprint }) => `${id} ${thumbprint}`)).size).toBe(1);
  });
});

interface Refused {
  what: string;
  text: string;
  asked?: Algorithm;
  code?: string;
  says: RegExp;
}

const passphrase = 'correct horse';
const refused: Refused[] = [
  {
    what: 'an encrypted PKCS#8',
    text: ec.p256.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase }).toString(),
    says: /encrypted/,
  },
  {
    what: 'an encrypted PKCS#1',
    text: rsa.export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase }).toString(),
    says: /encrypted/,
  },
  { what: 'two private keys in one PEM', text: pem(ec.p256) + pem(rsa, 'pkcs1'), says: /holds 2 private keys/ },
  {
    what: 'a public PEM',
    text: generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    says: /public key only/,
  },
  {
    what: 'a certificate',
    text: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
    says: /public key only/,
  },
  { what: 'a public JWK', text: publicPem(ec.p256), says: /public key only/ },
  { what: 'a symmetric JWK', text: '{"kty":"oct","k":"c2VjcmV0"}', says: /symmetric/ },
  { what: 'a JWK Set', text: `{"keys":[${jwk(ec.p256)}]}`, says: /JWK Set/ },
  { what: 'an encryption key', text: jwk(ec.p256, { use: 'enc' }), says: /use "enc"/ },
  { what: 'short RSA', text: pem(shortRsa), says: /1024 bits is too short/ },
  { what: 'RSA restricted to PSS', text: pem(oddRsa), says: /rsa-pss are not supported/ },
  { what: 'secp256k1', text: pem(ec.k1), says: /ec on secp256k1 are not supported/ },
  { what: 'brainpool', text: pem(brainpool), says: /not supported/ },
  { what: 'Ed448', text: pem(ed448), says: /ed448 are not supported/ },
  { what: 'X25519', text: pem(x25519), says: /x25519 are not supported/ },
  { what: 'the wrong curve for the alg', text: pem(ec.p384), asked: 'ES256', says: /cannot sign ES256.*fits ES384/ },
  { what: 'EC for an RSA alg', text: pem(ec.p256), asked: 'RS256', says: /cannot sign RS256/ },
  { what: 'a JWK whose alg is not its curve', text: jwk(ec.p256, { alg: 'ES384' }), says: /cannot sign ES384/ },
  { what: 'a JWK for another alg than asked', text: jwk(rsa, { alg: 'RS256' }), asked: 'PS256', says: /RS256.*PS256/ },
  {
    what: 'a JWK with an unknown alg',
    text: jwk(ec.k1, { alg: 'ES256K' }),
    code: 'algorithm_unsupported',
    says: /ES256K/,
  },
  { what: 'halves of two keys', text: jwk(ec.p256, { d: curve('P-256').export({ format: 'jwk' }).d }), says: /./ },
  { what: 'damaged PEM', text: pem(ec.p256).replace(/\n.{8}/, '\nAAAAAAAA'), says: /cannot be read/ },
  { what: 'damaged JSON', text: '{"kty":', says: /cannot be read/ },
  { what: 'something else', text: 'ssh-ed25519 AAAA', says: /neither/ },
  { what: 'nothing', text: '', says: /neither/ },
];

describe('refused:', () => {
  test.each(refused)('$what', async ({ text, asked, code = 'key_invalid', says }) => {
    await expect(importPrivateKey(text, asked)).rejects.toMatchObject({ code, message: expect.stringMatching(says) });
  });

  test('without quoting the key', async () => {
    const { d = '' } = ec.p256.export({ format: 'jwk' });
    const error: unknown = await importPrivateKey(`{"kty":"EC","d":"${d}" oops`).catch((thrown) => thrown);
    expect(String(error)).toContain('cannot be read');
    expect(JSON.stringify(error, ['message', 'cause', 'stack'])).not.toContain(d.slice(0, 8));
  });
});
