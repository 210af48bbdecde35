/** Errors end in logs, terminals and failed jobs: none shows a part of the key that it is about, nor does its stack or its cause. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { makeReference } from '../../src/core/client.ts';
import { directorySink } from '../../src/deliver/directory.ts';
import { generateKey } from '../../src/keys/generate.ts';
import { importPrivateKey } from '../../src/keys/import.ts';
import { openKey, sealKey } from '../../src/keys/sealed.ts';
import { createProver } from '../../src/wacht/proof.ts';
import { isDocumented } from '../fuzz/cases.ts';
import { findNeedles, needlesOf } from '../support/secrets.ts';

const root = await mkdtemp(join(tmpdir(), 'rekeyd-errors-'));
afterAll(() => rm(root, { recursive: true }));

const fresh = await generateKey('ES256');
const key = fresh.privateKey.keyObject();
const jwk = key.export({ format: 'jwk' });
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const ref = makeReference('d', 'a', 'i');
const { thumbprint } = fresh;
const binding = { ref, thumbprint, alg: fresh.alg };
const keks = [{ id: 'k1', key: new Uint8Array(32).fill(1) }];
const jwe = await sealKey(fresh.privateKey, binding, keks);
const sinkKey = { kid: thumbprint, alg: fresh.alg, jwk: fresh.jwk, privateKey: fresh.privateKey };
const contents = {
  ref,
  clientId: 'c',
  issuer: null,
  alg: fresh.alg,
  current: sinkKey,
  next: null,
  previous: null,
  updatedAt: 0,
  epoch: 0,
};

async function deliverOverFile(): Promise<void> {
  await writeFile(join(root, 'd'), 'in the way');
  await directorySink(root).deliver(contents);
}

async function proveWithAnotherAlg(): Promise<unknown> {
  const prover = createProver({ resolve: {}, timeoutMs: 1_000, generateKey });
  const request = {
    issuer: 'http://127.0.0.1:1',
    clientId: 'c',
    alg: 'RS256',
    kid: thumbprint,
    privateKey: key,
    nowMs: 0,
  };
  return prover.prove({ ...request, alg: 'RS256' }).finally(() => prover.close());
}

/** Text and stack, causes, and members that only a debugger shows. */
function everythingOf(error: unknown): Buffer {
  const depth = { depth: 20, showHidden: true, maxStringLength: null, maxArrayLength: null };
  return Buffer.from(`${inspect(error, depth)}\n${JSON.stringify(error)}\n${String(error)}`);
}

async function errorOf(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

const needlesFor = (subject: KeyObject) => needlesOf('key', subject);

test.each<[string, () => unknown]>([
  ['sealed under a wrong thumbprint', () => sealKey(fresh.privateKey, { ref, thumbprint: 'other' }, keks)],
  ['sealed without a KEK', () => sealKey(fresh.privateKey, binding, [])],
  ['opened for another client', () => openKey(jwe, { ...binding, ref: 'd/a/other' }, keks)],
  ['opened as another key', () => openKey(jwe, { ...binding, thumbprint: 'other' }, keks)],
  ['opened for an alg that it cannot sign', () => openKey(jwe, { ...binding, alg: 'RS256' }, keks)],
  ['opened with another KEK', () => openKey(jwe, binding, [{ id: 'k1', key: new Uint8Array(32) }])],
  ['opened without its KEK', () => openKey(jwe, binding, [{ id: 'k2', key: new Uint8Array(32) }])],
  ['imported with half of another', () => importPrivateKey(JSON.stringify({ ...jwk, x: other.x, y: other.y }))],
  ['imported for another alg', () => importPrivateKey(JSON.stringify(jwk), 'RS256')],
  ['imported with damage', () => importPrivateKey(`${JSON.stringify(jwk)}}`)],
  ['imported beside another', () => importPrivateKey(JSON.stringify({ keys: [jwk, { ...jwk, kid: 'other' }] }))],
  ['delivered where a file stands', deliverOverFile],
  ['to sign what it cannot', proveWithAnotherAlg],
])('a key %s', async (_, work) => {
  const error = await errorOf(work);
  expect(isDocumented(error)).toBe(true);
  expect(findNeedles(needlesFor(key), everythingOf(error))).toEqual([]);
});

test.each<[string, Error]>([
  ['cause', new Error('x', { cause: { jwk } })],
  ['message', new Error(`no key: ${JSON.stringify(jwk)}`)],
  ['hidden member', Object.defineProperty(new Error('x'), 'key', { value: jwk.d, enumerable: false })],
])('a key in the %s of an error would be found', (_, error) => {
  expect(findNeedles(needlesFor(key), everythingOf(error))).toContain('key d base64url');
});
