/** The bytes of a private key are cleared as soon as they were sealed, or read. */
import { randomBytes } from 'node:crypto';
import { beforeEach, expect, test, vi } from 'vitest';
import { generateKey } from '../../src/keys/generate.ts';
import type { Kek } from '../../src/keys/kek.ts';
import { openKey, rewrapKey, sealKey } from '../../src/keys/sealed.ts';

/** What came out of a decryption. */
const decrypted = vi.hoisted((): Uint8Array[] => []);

vi.mock('jose', async (original) => {
  const jose = await original<typeof import('jose')>();
  const compactDecrypt = async (...args: Parameters<typeof jose.compactDecrypt>) => {
    const result = await jose.compactDecrypt(...args);
    decrypted.push(result.plaintext);
    return result;
  };
  return { ...jose, compactDecrypt };
});

const KEKS: readonly Kek[] = [
  { id: 'new', key: randomBytes(32) },
  { id: 'old', key: randomBytes(32) },
];
const { privateKey, thumbprint, alg } = await generateKey('ES256');
const binding = { ref: 'a/b/c', thumbprint };

const isCleared = (bytes: Uint8Array) => bytes.length > 0 && bytes.every((byte) => byte === 0);

beforeEach(() => {
  decrypted.length = 0;
});

test('after sealing, also when that fails', async () => {
  const key = privateKey.keyObject();
  const exported: Buffer[] = [];
  const spy = vi.spyOn(key, 'export');
  for (const kek of [...KEKS, { id: 'short', key: randomBytes(5) }]) {
    await sealKey(privateKey, binding, [kek]).catch(() => {});
  }
  for (const { value } of spy.mock.results) exported.push(value);
  spy.mockRestore();
  expect(exported).toHaveLength(3);
  expect(exported.every(isCleared)).toBe(true);
});

test('after opening and rewrapping, also when another key is inside', async () => {
  const jwe = await sealKey(privateKey, binding, KEKS.slice(1));
  await openKey(jwe, { ...binding, alg }, KEKS);
  await rewrapKey(jwe, binding, KEKS);
  await expect(openKey(jwe, { ref: 'a/b/other', thumbprint, alg }, KEKS)).rejects.toMatchObject({
    code: 'key_tampered',
  });
  expect(decrypted).toHaveLength(3);
  expect(decrypted.every(isCleared)).toBe(true);
});
