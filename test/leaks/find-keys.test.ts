/** Keys in whatever somebody found. */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { keyId } from '../../src/keys/key-id.ts';
import { findKeys, MOST_PARTS } from '../../src/leaks/find-keys.ts';
import { ENCODINGS } from '../support/encodings.ts';

const PAIRS = {
  EC: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RSA: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  Ed25519: generateKeyPairSync('ed25519'),
};

const find = (text: string | Uint8Array) => findKeys(typeof text === 'string' ? Buffer.from(text) : text);

describe.each(Object.entries(PAIRS))('an %s key', (_, { privateKey }) => {
  test.each(ENCODINGS)('as $name', async ({ encode }) => {
    const { keys, isOver } = await find(encode(privateKey));
    expect([keys.map(({ id }) => id), isOver]).toEqual([[keyId(privateKey)], false]);
    expect(keys[0]?.privateKey?.equals(privateKey)).toBe(true);
  });
});

const pem = (key: KeyObject) => createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();

test('its public half alone', async () => {
  const { keys } = await find(`a page says\n${pem(PAIRS.EC.privateKey)}`);
  expect(keys).toEqual([{ id: keyId(PAIRS.EC.privateKey), thumbprint: expect.any(String), privateKey: null }]);
});

test('several, each once, with the private half where one of the forms has it', async () => {
  const text = Object.values(PAIRS).flatMap(({ privateKey }) => [
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    pem(privateKey),
  ]);
  const { keys } = await find(JSON.stringify(text.map((token) => ({ type: 'pem', token }))));
  expect(keys.map(({ id }) => id).sort()).toEqual(
    Object.values(PAIRS)
      .map(({ publicKey }) => keyId(publicKey))
      .sort(),
  );
  expect(keys.every(({ privateKey }) => privateKey !== null)).toBe(true);
});

const DEEP = `${'['.repeat(2_000)}"x"${']'.repeat(2_000)}`;

test.each<[string, string | Uint8Array]>([
  ['nothing', ''],
  ['prose', 'nothing to see here'],
  ['a symmetric key', '{"kty":"oct","k":"c2VjcmV0"}'],
  ['a PEM that is cut off', '-----BEGIN PRIVATE KEY-----\nMIIE'],
  ['an encrypted PEM', '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----'],
  ['JSON that is nested without end', DEEP],
  ['bytes', Buffer.alloc(1_000, 0xfe)],
  ['base64 of nothing in particular', 'QUJD'.repeat(10_000)],
  ['a JWK with members of the wrong types', '{"kty":"RSA","n":1,"e":{}}'],
  ['a JWK with the prototype of something', '{"kty":"EC","__proto__":{"d":"x"}}'],
])('%s has none', async (_, given) => {
  expect((await find(given)).keys).toEqual([]);
});

test.each<[string, string]>([
  ['begins of PEMs', '-----BEGIN PRIVATE KEY-----\n'.repeat(30_000)],
  ['braces', '{'.repeat(900_000)],
  ['ends of JWKs', `${'{"kty"'.repeat(100)}${'x'.repeat(900_000)}`],
  ['runs', `${'A'.repeat(64)} `.repeat(14_000)],
])('a megabyte of %s keeps nobody busy', async (_, text) => {
  expect((await find(text)).keys).toEqual([]);
});

test('nested braces are not read once for each of them', async () => {
  const text = `${'{"kty":['.repeat(2_000)}} `.repeat(60);
  const parse = vi.spyOn(JSON, 'parse');
  onTestFinished(() => parse.mockRestore());
  expect((await find(text)).keys).toEqual([]);
  const read = parse.mock.calls.reduce((sum, [given]) => sum + given.length, 0);
  expect(read).toBeLessThan(5 * text.length);
});

test.each<[string, (jwk: string) => string]>([
  ['a brace in a member behind', (jwk) => `seen: ${jwk.slice(0, -1)},"kid":"a{b"}`],
  ['an object around it that has a kty too', (jwk) => `seen: {"kty":"x","jwk":${jwk}}`],
])('a JWK within text is found with %s', async (_, around) => {
  const { privateKey } = PAIRS.EC;
  const { keys } = await find(around(JSON.stringify(privateKey.export({ format: 'jwk' }))));
  expect(keys.map(({ id }) => id)).toEqual([keyId(privateKey)]);
});

test('more parts than anybody looks at are said to be too many, and not read', async () => {
  const key = pem(PAIRS.EC.privateKey);
  expect(await find(key.repeat(MOST_PARTS))).toMatchObject({
    isOver: false,
    keys: [{ id: keyId(PAIRS.EC.privateKey) }],
  });
  expect(await find(key.repeat(MOST_PARTS + 1))).toEqual({ keys: [], names: [], isOver: true });
  const thumbprints = Array.from({ length: 10_000 }, (_, index) => `${index}`.padStart(43, 'A'));
  expect(await find(JSON.stringify(thumbprints))).toEqual({ keys: [], names: [], isOver: true });
});

test('a name is what stands alone, never a part of a key', async () => {
  const { d } = PAIRS.EC.privateKey.export({ format: 'jwk' });
  expect((await find('  of-their-own \n')).names).toEqual(['of-their-own']);
  expect((await find(JSON.stringify([{ token: 'a'.repeat(64) }]))).names).toEqual(['a'.repeat(64)]);
  expect((await find(JSON.stringify(PAIRS.EC.privateKey.export({ format: 'jwk' })))).names).toEqual([]);
  expect((await find(`d: ${d} and more`)).names).toEqual([]);
});
