import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { keyId, pemKeyId, publishedKey } from '../../src/keys/key-id.ts';
import { formsOf } from './forms.ts';

const PAIRS = {
  RSA: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  EC: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });

describe.each(Object.entries(PAIRS))('a published %s key', (_, { publicKey, privateKey }) => {
  const forms = formsOf(publicKey);

  test.each(forms)('has the id of its pair: $what', ({ jwk }) => {
    const { ids, pemId } = publishedKey(jwk);
    expect(ids).toEqual([keyId(publicKey)]);
    expect(pemId).toBe(jwk.public_key_pem === undefined ? null : keyId(publicKey));
    expect(keyId(privateKey)).toBe(keyId(publicKey));
  });

  test('is shown as it came', () => {
    for (const { jwk } of forms) expect(publishedKey(jwk).jwk).toBe(jwk);
  });
});

test('another key has another id', () => {
  const ids = [...Object.values(PAIRS), other].map(({ publicKey }) => keyId(publicKey));
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.every((id) => /^[\w-]{43}$/.test(id))).toBe(true);
});

test('an entry whose PEM is another key than its JWK has both', () => {
  const { publicKey } = PAIRS.EC;
  const pem = other.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const entry = publishedKey({ ...publicKey.export({ format: 'jwk' }), kty: 'EC', public_key_pem: pem });
  expect(entry.ids).toEqual([keyId(publicKey), keyId(other.publicKey)]);
  expect(entry.pemId).toBe(keyId(other.publicKey));
});

test.each([
  ['a kty that nobody knows', { kty: 'AKP', pub: 'zz' }],
  ['a PEM that is none', { kty: 'PEM', public_key_pem: 'PEM' }],
  ['a point that is not on its curve', { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }],
  ['x5c that is no certificate', { kty: 'EC', x5c: ['AAAA'] }],
  ['members that are no text', { kty: 'RSA', n: 5, e: {} }],
])('what cannot be read as a key has no id: %s', (_, jwk) => {
  expect(publishedKey(jwk)).toEqual({ jwk, ids: [], pemId: null });
});

test('what is remembered of an entry is not taken for another', () => {
  const { publicKey } = PAIRS.EC;
  const jwk = { ...publicKey.export({ format: 'jwk' }), kty: 'EC' };
  for (let round = 0; round < 5_000; round += 1) publishedKey({ kty: 'AKP', pub: `${round}` });
  expect(publishedKey(jwk).ids).toEqual([keyId(publicKey)]);
  expect(publishedKey({ ...jwk, kid: 'named' }).ids).toEqual([keyId(publicKey)]);
  expect(publishedKey({ ...jwk, x: 'AA' }).ids).toEqual([]);
});

test('a text that is no PEM has no id', () => {
  for (const text of ['', 'PEM', '-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----'])
    expect(pemKeyId(text)).toBeNull();
});
