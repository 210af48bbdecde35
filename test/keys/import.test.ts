import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Algorithm } from '../../src/core/keys.ts';
import { importPrivateKey } from '../../src/keys/import.ts';
import { certificate, der, integer, pemOf, sequence } from './forms.ts';

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

function publicJwk(key: KeyObject): object {
  const { d: _, ...rest } = key.export({ format: 'jwk' });
  return rest;
}

function publicPem(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
}

/** As OpenSSL writes it unless told otherwise. */
function encrypted(key: KeyObject, type: 'pkcs1' | 'pkcs8' | 'sec1' = 'pkcs8'): string {
  return key.export({ type, format: 'pem', cipher: 'aes-256-cbc', passphrase }).toString();
}

/** As Google hands out the keys of its service accounts. */
function serviceAccount(key: KeyObject): string {
  return JSON.stringify({ type: 'service_account', private_key_id: 'a', private_key: pem(key), client_email: 'a@b' });
}

const passphrase = 'correct horse';

/** The bytes of a file that a program for Windows has written. */
function utf16(text: string): Buffer {
  return Buffer.from(`\uFEFF${text}`, 'utf16le');
}

interface Accepted {
  what: string;
  text: string | Uint8Array;
  asked?: Algorithm;
  alg: Algorithm;
  /** Given beside it. */
  passphrase?: string;
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
  { what: 'a PEM after a byte order mark', text: `\uFEFF${pem(ec.p256)}`, alg: 'ES256' },
  { what: 'a JWK after a byte order mark', text: Buffer.from(`\uFEFF${jwk(ec.p256)}`), alg: 'ES256' },
  { what: 'a PEM in UTF-16', text: utf16(pem(rsa)), alg: 'RS256' },
  { what: 'a PEM with the line ends of Windows', text: pem(ec.p256).replaceAll('\n', '\r\n'), alg: 'ES256' },
  { what: 'a PEM on one line', text: pem(ec.p256).replaceAll('\n', ' '), alg: 'ES256' },
  { what: 'a PEM whose line ends came as \\n', text: pem(ec.p256).replaceAll('\n', '\\n'), alg: 'ES256' },
  { what: 'a PEM that was indented', text: pem(ec.p256).replaceAll(/^/gm, '    '), alg: 'ES256' },
  {
    what: 'a PEM beside its certificate',
    text: pemOf('CERTIFICATE', certificate(publicOf(ec.p256))) + pem(ec.p256),
    alg: 'ES256',
  },
  { what: 'a PEM beside its public key', text: pem(rsa) + publicPem(rsa), alg: 'RS256' },
  {
    what: 'SEC 1 after the parameters of its curve',
    text: pemOf('EC PARAMETERS', Buffer.from('06082a8648ce3d030107', 'hex')) + pem(ec.p256, 'sec1'),
    alg: 'ES256',
  },
  { what: 'a JWK with null members', text: jwk(rsa, { alg: null, use: null, k: null, x5c: null }), alg: 'RS256' },
  { what: 'a JWK Set with one key', text: `{"keys":[${jwk(ec.p384)}]}`, alg: 'ES384' },
  {
    what: 'a JWK Set with one private key',
    text: JSON.stringify({ keys: [publicJwk(ec.p256), JSON.parse(jwk(ed25519)), { ...publicJwk(ec.p521), d: null }] }),
    alg: 'EdDSA',
  },
  { what: 'the JSON of a service account', text: serviceAccount(rsa), alg: 'RS256' },
  { what: 'PKCS#8 as DER', text: rsa.export({ type: 'pkcs8', format: 'der' }), alg: 'RS256' },
  { what: 'a short PKCS#8 as DER', text: ed25519.export({ type: 'pkcs8', format: 'der' }), alg: 'EdDSA' },
  { what: 'PKCS#1 as DER', text: rsa.export({ type: 'pkcs1', format: 'der' }), alg: 'RS256' },
  { what: 'SEC 1 as DER', text: ec.p384.export({ type: 'sec1', format: 'der' }), alg: 'ES384' },
  { what: 'an encrypted PKCS#8', text: encrypted(ec.p256), passphrase, alg: 'ES256' },
  { what: 'an encrypted PKCS#1', text: encrypted(rsa, 'pkcs1'), passphrase, alg: 'RS256' },
  { what: 'an encrypted SEC 1', text: encrypted(ec.p521, 'sec1'), passphrase, alg: 'ES512' },
  {
    what: 'an encrypted PKCS#8 as DER',
    text: ec.p256.export({ type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase }),
    passphrase,
    alg: 'ES256',
  },
  { what: 'a plain PEM where others need a passphrase', text: pem(ec.p256), passphrase, alg: 'ES256' },
];

function publicOf(key: KeyObject): KeyObject {
  return createPublicKey(key);
}

function optionsOf({ passphrase: text }: { readonly passphrase?: string }) {
  return text === undefined ? {} : { passphrase: Buffer.from(text) };
}

describe('accepted:', () => {
  test.each(accepted)('$what as $alg', async ({ text, asked, alg, ...given }) => {
    const key = await importPrivateKey(text, asked, optionsOf(given));
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

  test.each<[string, string, Algorithm]>([
    ['a PEM', pem(rsa), 'RS512'],
    ['the PEM of a service account', serviceAccount(rsa), 'RS512'],
    ['a JWK that names none', jwk(rsa), 'RS512'],
    ['a JWK that names its own', jwk(rsa, { alg: 'PS256' }), 'PS256'],
  ])('%s signs what its client is registered with', async (_, text, alg) => {
    expect((await importPrivateKey(text, undefined, { registered: 'RS512' })).alg).toBe(alg);
  });
});

interface Refused {
  what: string;
  text: string | Uint8Array;
  passphrase?: string;
  asked?: Algorithm;
  code?: string;
  says: RegExp;
}

/** An encrypted PKCS#8 (PBES2 of RFC 8018 with PBKDF2) that asks for so many rounds. Nothing can be inside. */
function asking(rounds: string): string {
  const pbkdf2 = sequence('06092a864886f70d01050c', sequence(der(0x04, '0102030405060708'), integer(rounds)));
  const cipher = sequence('060960864801650304012a', der(0x04, '00'.repeat(16)));
  const pbes2 = sequence('06092a864886f70d01050d', sequence(pbkdf2, cipher));
  return pemOf('ENCRYPTED PRIVATE KEY', sequence(pbes2, der(0x04, '00'.repeat(48))));
}

const refused: Refused[] = [
  { what: 'an encrypted PKCS#8', text: encrypted(ec.p256), says: /encrypted.*--passphrase-file/ },
  { what: 'an encrypted PKCS#1', text: encrypted(rsa, 'pkcs1'), says: /encrypted.*--passphrase-file/ },
  {
    what: 'an encrypted PKCS#8 with another passphrase',
    text: encrypted(ec.p256),
    passphrase: 'wrong',
    says: /cannot be opened with this passphrase/,
  },
  {
    what: 'an encrypted PKCS#1 with another passphrase',
    text: encrypted(rsa, 'pkcs1'),
    passphrase: 'wrong',
    says: /cannot be opened with this passphrase/,
  },
  { what: 'hours of hashing', text: asking('7fffffff'), passphrase, says: /would take too long/ },
  { what: 'years of hashing', text: asking('7fffffffffffffffff'), passphrase, says: /would take too long/ },
  { what: 'some hashing, and nothing inside', text: asking('0800'), passphrase, says: /cannot be opened/ },
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
  { what: 'a public JWK', text: JSON.stringify(publicJwk(ec.p256)), says: /public key only/ },
  { what: 'a public key as DER', text: publicOf(rsa).export({ type: 'spki', format: 'der' }), says: /public key only/ },
  { what: 'a certificate as DER', text: certificate(publicOf(ec.p256)), says: /certificate.*public key only/ },
  { what: 'a certificate request', text: pemOf('CERTIFICATE REQUEST', Buffer.alloc(9)), says: /certificate request/ },
  { what: 'the parameters of a curve', text: pemOf('EC PARAMETERS', Buffer.alloc(9)), says: /holds no key/ },
  { what: 'an OpenSSH key', text: pemOf('OPENSSH PRIVATE KEY', Buffer.alloc(99)), says: /OpenSSH.*ssh-keygen -p/ },
  { what: 'a public key of OpenSSH', text: 'ssh-ed25519 AAAA me@here', says: /public key of OpenSSH/ },
  { what: 'a key of PuTTY', text: 'PuTTY-User-Key-File-3: ssh-rsa\n', says: /PuTTYgen/ },
  { what: 'an OpenPGP key', text: pemOf('PGP PRIVATE KEY BLOCK', Buffer.alloc(9)), says: /OpenPGP/ },
  { what: 'a PKCS#12 store', text: sequence(integer('03'), sequence()), says: /PKCS#12.*openssl pkcs12/ },
  { what: 'a Java key store', text: Buffer.from('feedfeed00000002', 'hex'), says: /Java.*keytool/ },
  { what: 'a PEM that is cut off', text: pem(rsa).slice(0, 400), says: /cut off/ },
  { what: 'blanks', text: ' \n\t\r\n', says: /is empty/ },
  { what: 'no byte at all', text: Buffer.alloc(0), says: /is empty/ },
  { what: 'a text that is too long', text: ' '.repeat(256 * 1024 + 1), says: /larger than 256 KiB/ },
  { what: 'JSON without a key', text: '{"hello":"world"}', says: /holds no key/ },
  {
    what: 'a JWK Set with two private keys',
    text: `{"keys":[${jwk(ec.p256)},${jwk(rsa)}]}`,
    says: /Set holds 2 private/,
  },
  {
    what: 'a JWK Set without a private key',
    text: JSON.stringify({ keys: [publicJwk(ec.p256)] }),
    says: /no private key/,
  },
  { what: 'an empty JWK Set', text: '{"keys":[]}', says: /no private key/ },
  { what: 'a symmetric JWK', text: '{"kty":"oct","k":"c2VjcmV0"}', says: /symmetric/ },
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
  { what: 'something else', text: 'my key: hunter2', says: /neither/ },
  { what: 'bytes of any kind', text: Buffer.from('89504e470d0a1a0a0000', 'hex'), says: /neither/ },
  { what: 'nothing', text: '', says: /is empty/ },
];

describe('refused:', () => {
  test.each(refused)('$what', async ({ text, asked, code = 'key_invalid', says, ...given }) => {
    await expect(importPrivateKey(text, asked, optionsOf(given))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(says),
    });
  });

  test('without quoting the key', async () => {
    const { d = '' } = ec.p256.export({ format: 'jwk' });
    const error: unknown = await importPrivateKey(`{"kty":"EC","d":"${d}" oops`).catch((thrown) => thrown);
    expect(String(error)).toContain('cannot be read');
    expect(JSON.stringify(error, ['message', 'cause', 'stack'])).not.toContain(d.slice(0, 8));
  });
});
