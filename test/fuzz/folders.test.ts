import { generateKeyPairSync } from 'node:crypto';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { expect, test } from 'vitest';
import { openSigner } from '../../src/signer/index.ts';
import { came, fuzz, mutated, oddJson, piecesOf, scratchFolder } from './cases.ts';

const root = await scratchFolder();

const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const current = { ...EC, kid: 'k1', use: 'sig', alg: 'ES256' };
const next = { ...RSA, kid: 'k2', use: 'sig', alg: 'RS256' };
const meta = { client_id: 'c', issuer: null, alg: 'ES256', current: 'k1', next: 'k2', previous: null };
const SECRETS = [EC.d, RSA.d, RSA.p].flatMap((text) => piecesOf(text ?? '', 8));

/** A file's text; null when it is not there, and what else may stand in its place. */
type Entry = string | null | 'FOLDER' | 'LOOP';
type Folder = Readonly<Record<'meta.json' | 'current.jwk.json' | 'next.jwk.json', Entry>>;
const GOOD: Folder = {
  'meta.json': JSON.stringify(meta),
  'current.jwk.json': JSON.stringify(current),
  'next.jwk.json': JSON.stringify(next),
};

const CORPUS: readonly Folder[] = [
  { 'meta.json': null, 'current.jwk.json': null, 'next.jwk.json': null },
  ...(['', 'null', '[]', '{}', 'FOLDER', 'LOOP', null] as const).map((entry) => ({ ...GOOD, 'meta.json': entry })),
  ...(['', 'null', 'FOLDER', 'LOOP', null] as const).map((entry) => ({ ...GOOD, 'current.jwk.json': entry })),
  ...['none', 'HS256', 'RS256', 'ES384', 'EdDSA', '', '__proto__'].map((alg) => ({
    ...GOOD,
    'current.jwk.json': JSON.stringify({ ...current, alg }),
  })),
  // What a parser says of these quotes the text around the fault, or the value that it did not expect.
  { ...GOOD, 'current.jwk.json': `{"kid":"k1","alg":"ES256","d":${EC.d}` },
  { ...GOOD, 'current.jwk.json': JSON.stringify({ ...current, d: [EC.d] }) },
  { ...GOOD, 'current.jwk.json': JSON.stringify({ ...current, kty: EC.d }) },
  { ...GOOD, 'current.jwk.json': JSON.stringify({ ...current, d: undefined }) },
  { ...GOOD, 'current.jwk.json': JSON.stringify({ ...current, kid: EC.d }) },
];

const jwkText = (jwk: object) =>
  fc.oneof(
    fc.constant(JSON.stringify(jwk)),
    mutated(JSON.stringify(jwk)),
    fc
      .tuple(fc.constantFrom(...Object.keys(jwk)), oddJson)
      .map(([name, value]) => JSON.stringify({ ...jwk, [name]: value })),
    fc.constantFrom<Entry>(null, '', 'FOLDER', 'LOOP'),
  );
const folders: fc.Arbitrary<Folder> = fc.record({
  'meta.json': jwkText(meta),
  'current.jwk.json': jwkText(current),
  'next.jwk.json': jwkText(next),
});

let made = 0;
async function put(files: Folder): Promise<string> {
  const folder = join(root, String(made++));
  await mkdir(folder);
  for (const [name, entry] of Object.entries(files)) {
    const path = join(folder, name);
    if (entry === 'FOLDER') await mkdir(path);
    else if (entry === 'LOOP') await symlink(name, path);
    else if (entry !== null) await writeFile(path, entry);
  }
  return folder;
}

test('a folder that opens can sign, and no refusal shows a part of its keys', async () => {
  await fuzz(
    folders,
    CORPUS,
    async (files) => {
      const folder = await put(files);
      const opened = await came(() => openSigner(folder), SECRETS);
      if ('value' in opened) {
        const signed = await came(() => opened.value.assertion({ audience: 'https://a' }), SECRETS);
        if ('value' in signed) {
          expect(decodeProtectedHeader(signed.value.assertion).kid).toBe(signed.value.kid);
          expect(decodeJwt(signed.value.assertion).sub).toBe(opened.value.clientId);
        } else expect(signed.error).toMatchObject({ code: 'no_key' });
      } else expect(opened.error).toMatchObject({ code: 'folder_unreadable' });
      await rm(folder, { recursive: true });
    },
    0.5,
  );
});

test('an unharmed folder opens and signs', async () => {
  const signer = await openSigner(await put(GOOD));
  expect(await signer.assertion({ audience: 'https://a' })).toMatchObject({ kid: 'k1', role: 'current' });
});
