import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { expect, test } from 'vitest';
import { publicKey, verifies } from './signature.ts';
import { pemJwks } from './wire.ts';

interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

function check(alg: string, pair: Pair, hash: string): boolean {
  const pem = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const [jwk] = pemJwks(pem).keys;
  const key = jwk === undefined ? null : publicKey(jwk, 'pem');
  if (key === null) throw new Error('the key was not imported');
  const signature = sign(hash, Buffer.from('data'), { key: pair.privateKey, dsaEncoding: 'ieee-p1363' });
  return verifies(alg, key, 'data', signature);
}

test.each([
  ['ES256', 'P-256', 'sha256', true],
  ['ES256', 'P-384', 'sha256', false],
  ['ES256', 'secp256k1', 'sha256', false],
  ['ES384', 'P-384', 'sha256', false],
])('%s with a key on %s over %s', (alg, namedCurve, hash, accepted) => {
  expect(check(alg, generateKeyPairSync('ec', { namedCurve }), hash)).toBe(accepted);
});

test.each([
  [2048, true],
  [1024, false],
])('RS256 with a modulus of %i bits', (modulusLength, accepted) => {
  expect(check('RS256', generateKeyPairSync('rsa', { modulusLength }), 'sha256')).toBe(accepted);
});

test('what is no key is not imported', () => {
  expect(pemJwks('no PEM').keys.map((jwk) => publicKey(jwk, 'pem'))).toEqual([null]);
});
