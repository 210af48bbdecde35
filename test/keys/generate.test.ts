import { generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { CompactSign, calculateJwkThumbprint, compactVerify, importJWK } from 'jose';
import { describe, expect, test } from 'vitest';
import { ALGORITHMS } from '../../src/core/keys.ts';
import { KEY_SHAPES } from '../../src/keys/algorithms.ts';
import { freshKey, generateKey, publicFrom } from '../../src/keys/generate.ts';
import { publishedKey } from '../../src/keys/key-id.ts';

describe.each(ALGORITHMS)('a generated %s key', (alg) => {
  test('is named by its thumbprint, shows standard members only, and signs', async () => {
    const key = await generateKey(alg, { modulusLength: 2048 });
    expect(Object.keys(key.jwk)).toEqual([...KEY_SHAPES[alg].members]);
    expect(key.thumbprint).toBe(await calculateJwkThumbprint(key.jwk, 'sha256'));
    expect(key.pem).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
    expect(key.privateKey).toMatchObject({ thumbprint: key.thumbprint, alg });
    const { id, thumbprint, jwk, pem } = key;
    expect(await publicFrom(key.privateKey)).toEqual({ id, thumbprint, jwk, pem });
    expect(publishedKey({ ...jwk, public_key_pem: pem })).toMatchObject({ ids: [id], pemId: id });

    const jws = await new CompactSign(Buffer.from('hello'))
      .setProtectedHeader({ alg })
      .sign(key.privateKey.keyObject());
    const { payload } = await compactVerify(jws, await importJWK(key.jwk, alg));
    expect(Buffer.from(payload).toString()).toBe('hello');
  });
});

test('RSA keys have the length asked for, 3072 bits when not asked', async () => {
  const lengths = await Promise.all([generateKey('RS256'), generateKey('PS256', { modulusLength: 2560 })]);
  expect(lengths.map((key) => key.privateKey.keyObject().asymmetricKeyDetails?.modulusLength)).toEqual([3072, 2560]);
});

test('a short RSA modulus is refused', async () => {
  await expect(generateKey('RS256', { modulusLength: 1024 })).rejects.toMatchObject({ code: 'key_invalid' });
});

test('a key that cannot sign its alg fails the self-test', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await expect(freshKey(privateKey, 'ES384')).rejects.toMatchObject({ code: 'key_invalid' });
});

test('a private key never shows itself', async () => {
  const { privateKey } = await generateKey('ES256');
  const jwk = privateKey.keyObject().export({ format: 'jwk' });
  const shown = (key: object) => [
    JSON.stringify({ key }),
    inspect({ key }, { depth: null, showHidden: true }),
    inspect(key, { customInspect: false, showHidden: true, depth: null }),
    JSON.stringify(structuredClone({ ...key })),
  ];
  for (const text of [`${privateKey}`, ...shown(privateKey)]) expect(text).not.toContain(jwk.d);
  // Each of these shows what is there to be seen.
  for (const text of shown(jwk)) expect(text).toContain(jwk.d);
  expect(`${privateKey} ${JSON.stringify(privateKey)} ${inspect([privateKey])}`).toBe(
    '[private key] "[private key]" [ [private key] ]',
  );
});
