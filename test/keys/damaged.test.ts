/** Private keys whose parts do not belong together. Each of them signs, or says what it is. */
import { generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { expect, test } from 'vitest';
import { importPrivateKey } from '../../src/keys/import.ts';
import { belongTogether } from '../../src/keys/rsa.ts';

const rsa: JsonWebKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const okp: JsonWebKey = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
const other: JsonWebKey = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });

test.each<[string, JsonWebKey]>([
  ['an exponent that OpenSSL does not need', { ...rsa, d: 'AQAB' }],
  ['primes in the wrong places', { ...rsa, p: rsa.q ?? '', q: rsa.p ?? '' }],
  ['a prime that is none', { ...rsa, p: 'AQ' }],
  ['wrong exponents of the primes', { ...rsa, dp: 'AA', dq: 'AA' }],
  ['a wrong coefficient', { ...rsa, qi: 'AQ' }],
  ['the public half of another Ed25519 key', { ...okp, x: other.x ?? '' }],
])('%s is refused', async (_, jwk) => {
  await expect(importPrivateKey(JSON.stringify(jwk))).rejects.toMatchObject({
    code: 'key_invalid',
    message: expect.stringContaining('do not belong together'),
  });
});

test('the parts of a good key belong together', () => {
  expect(belongTogether(rsa)).toBe(true);
  expect(belongTogether({ ...rsa, d: '' })).toBe(false);
});

test('a modulus that OpenSSL would work on for minutes is refused', async () => {
  const long = Buffer.alloc(40_000, 255).toString('base64url');
  await expect(importPrivateKey(JSON.stringify({ ...rsa, n: long, d: long }))).rejects.toThrow('is too long');
});

test.each(['use', 'alg'])('a secret that stands in place of "%s" is not repeated', async (member) => {
  const refused = await importPrivateKey(JSON.stringify({ ...rsa, [member]: rsa.d })).catch(String);
  expect(refused).toContain('"…"');
  expect(refused).not.toContain(rsa.d);
});
