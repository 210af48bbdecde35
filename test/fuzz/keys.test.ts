import { createPrivateKey, createPublicKey, generateKeyPairSync, type JsonWebKey, sign, verify } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KEY_SHAPES } from '../../src/keys/algorithms.ts';
import { type FreshKey, generateKey } from '../../src/keys/generate.ts';
import { importPrivateKey } from '../../src/keys/import.ts';
import { openKey, rewrapKey, sealKey } from '../../src/keys/sealed.ts';
import { came, distorted, fuzz, mutated, piecesOf } from './cases.ts';

const PAIRS = {
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  okp: generateKeyPairSync('ed25519').privateKey,
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  'rsa-pss': generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey,
  x25519: generateKeyPairSync('x25519').privateKey,
  secp256k1: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey,
};
const { ec, okp, rsa } = PAIRS;
const jwks: readonly JsonWebKey[] = [ec, okp, rsa].map((key) => key.export({ format: 'jwk' }));
const pems = Object.values(PAIRS).map((key) => key.export({ format: 'pem', type: 'pkcs8' }).toString());
const [EC = {}, OKP = {}, RSA = {}] = jwks;

/** Pieces of each private member and of each PEM, none of which an error may show. */
const SECRETS = [
  ...jwks.flatMap((jwk) => [jwk.d, jwk.p, jwk.q, jwk.dp, jwk.dq, jwk.qi].flatMap((text) => piecesOf(text ?? ''))),
  ...pems.flatMap((pem) => pem.split('\n').slice(2, -2)),
];

const number = (bytes: number, fill: number) => Buffer.alloc(bytes, fill).toString('base64url');
const CORPUS = [
  ...pems,
  ...jwks.map((jwk) => JSON.stringify(jwk)),
  ...[{ e: 'AQ' }, { e: 'Ag' }, { d: 'AA' }, { d: 'AQAB' }, { dp: 'AA', dq: 'AA' }, { p: 'AQ' }, { qi: '' }].map(
    (odd) => JSON.stringify({ ...RSA, ...odd }),
  ),
  JSON.stringify({ ...RSA, p: RSA.q, q: RSA.p }),
  JSON.stringify({ ...RSA, n: number(40_000, 255), d: number(40_000, 255) }),
  ...['use', 'alg', 'kid', 'kty', 'x'].map((member) => JSON.stringify({ ...RSA, [member]: RSA.d })),
  ...[{ d: number(32, 255) }, { d: number(32, 0) }, { x: EC.y, y: EC.x }, { d: 5 }, { crv: 'P-521' }].map((odd) =>
    JSON.stringify({ ...EC, ...odd }),
  ),
  ...[{ x: OKP.d }, { x: '' }, { crv: 'X25519' }].map((odd) => JSON.stringify({ ...OKP, ...odd })),
  '{'.repeat(100_000),
  `${'{"d":'.repeat(50_000)}1${'}'.repeat(50_000)}`,
  '{"__proto__":{"d":"AA","kty":"EC"}}',
  pems.join('\n'),
  JSON.stringify({ keys: jwks }),
  JSON.stringify({ keys: [EC, null, 5, { kty: 'RSA' }] }),
  ...pems.map((pem) => JSON.stringify({ private_key: pem })),
  '-----BEGIN A-----'.repeat(15_000),
  '-----END A----------BEGIN A-----'.repeat(8_000),
  '-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----',
  '',
];

const member = fc.oneof(
  fc.constantFrom(...jwks.flatMap((jwk) => Object.values(jwk))),
  fc.constantFrom('', 'AA', 'AQ', 5, null, {}),
);
const texts = fc.oneof(
  distorted({ ...EC }, member).map((jwk) => JSON.stringify(jwk)),
  distorted({ ...OKP }, member).map((jwk) => JSON.stringify(jwk)),
  distorted({ ...RSA }, member).map((jwk) => JSON.stringify(jwk)),
  ...[...jwks.map((jwk) => JSON.stringify(jwk)), ...pems].map(mutated),
);

/** What was taken in signs, and is the same key in every form that will be handed on. */
async function checkImported(key: FreshKey): Promise<void> {
  const jwk = key.privateKey.keyObject().export({ format: 'jwk' });
  const again = await importPrivateKey(JSON.stringify(jwk), key.alg);
  expect([again.id, again.alg, again.pem, again.jwk]).toEqual([key.id, key.alg, key.pem, key.jwk]);
  expect(KEY_SHAPES[key.alg].kty).toBe(key.jwk.kty);
  const data = Buffer.from('data');
  const hash = key.alg === 'EdDSA' ? null : 'sha256';
  expect(
    verify(hash, data, createPublicKey(key.pem), sign(hash, data, createPrivateKey({ key: jwk, format: 'jwk' }))),
  ).toBe(true);
}

test('a private key that is taken in works in every form, and no refusal shows a part of one', async () => {
  await fuzz(texts, CORPUS, async (text) => {
    const result = await came(() => importPrivateKey(text), SECRETS);
    if ('value' in result) await checkImported(result.value);
  });
});

test.each([
  ['ES256', ec],
  ['EdDSA', okp],
  ['RS256', rsa],
] as const)('an unharmed %s key is taken in', async (alg, key) => {
  expect((await importPrivateKey(JSON.stringify(key.export({ format: 'jwk' })))).alg).toBe(alg);
});

const fresh = await generateKey('ES256');
const keks = [{ id: 'k1', key: new Uint8Array(32).fill(1) }];
const NEWER = [{ id: 'k2', key: new Uint8Array(32).fill(2) }, ...keks];
const binding = { ref: 'd/a/i', thumbprint: fresh.thumbprint, alg: fresh.alg };
const jwe = await sealKey(fresh.privateKey, binding, keks);
const parts = jwe.split('.');
const header: Record<string, unknown> = JSON.parse(Buffer.from(parts[0] ?? '', 'base64url').toString());
const withHeader = (changed: object) =>
  parts.with(0, Buffer.from(JSON.stringify(changed)).toString('base64url')).join('.');
const PRIVATE = piecesOf(fresh.privateKey.keyObject().export({ format: 'jwk' }).d ?? '');
const SEALED = [
  '',
  '....',
  ...parts.flatMap((_, at) =>
    [parts.with(at, ''), parts.with(at, 'AAAA'), parts.toSpliced(at, 1)].map((some) => some.join('.')),
  ),
  ...[
    { iv: 5 },
    { tag: 'AA' },
    { alg: 'PBES2-HS256+A128KW', p2c: 1e9, p2s: 'AA' },
    { alg: 'dir' },
    { zip: 'DEF' },
    { crit: ['b64'], b64: false },
    { kid: { a: 1 } },
    { kid: 'x'.repeat(1_000_000) },
  ].map((odd) => withHeader({ ...header, ...odd })),
];

test('a sealed key that was changed is never opened as anything but itself', async () => {
  const changed = fc.oneof(mutated(jwe), distorted(header).map(withHeader));
  await fuzz(changed, SEALED, async (text) => {
    const opened = await came(() => openKey(text, binding, keks), PRIVATE);
    // Base64url can be written with blanks and other odd ends: what matters is what is inside.
    if ('value' in opened) expect(opened.value.keyObject().equals(fresh.privateKey.keyObject())).toBe(true);
    const rewrapped = await came(() => rewrapKey(text, binding, NEWER), PRIVATE);
    if ('error' in rewrapped)
      return expect(rewrapped.error).toMatchObject({ code: expect.stringMatching(/^key_tampered$|^kek_missing$/) });
    expect((await openKey(rewrapped.value ?? '', binding, NEWER)).thumbprint).toBe(fresh.thumbprint);
  });
});
