/** Buffers that held a private key in clear are cleared once they are used: read in the memory itself, which nothing outside of the process shows. */

import crypto, { type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import fs, { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import type { Task } from '../../../src/deliver/thread.ts';
import { isWritten, writeDurably } from '../../../src/files/durable.ts';
import { generateKey } from '../../../src/keys/generate.ts';
import { openKey, sealKey } from '../../../src/keys/sealed.ts';
import { targetIn } from '../../deliver/target.ts';
import { makeKey } from '../../emulator/testing.ts';

const KEKS = [{ id: 'kek-1', key: new Uint8Array(32).fill(7) }];
const REF = '185019846023/app/1';

/** Replaces a function of a module of Node until the test ends. */
function replace<M extends object, K extends keyof M>(module: M, name: K, make: (before: M[K]) => M[K]): void {
  const before = module[name];
  module[name] = make(before);
  syncBuiltinESMExports();
  onTestFinished(() => {
    module[name] = before;
    syncBuiltinESMExports();
  });
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rekeyd-clearing-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Each buffer, with a copy of what it held. */
interface Seen {
  readonly bytes: Uint8Array;
  readonly held: Uint8Array;
}

function expectCleared(seen: readonly Seen[], count: number): void {
  expect(seen).toHaveLength(count);
  for (const { bytes, held } of seen) {
    expect(held.some((byte) => byte !== 0)).toBe(true);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  }
}

test('a private key that was sealed is cleared', async () => {
  const { privateKey, thumbprint } = await generateKey('ES256');
  const seen: Seen[] = [];
  const key: KeyObject = privateKey.keyObject();
  const prototype: KeyObject = Object.getPrototypeOf(key);
  replace(
    prototype,
    'export',
    (before) =>
      function exported(this: KeyObject, ...options: Parameters<KeyObject['export']>) {
        const bytes: unknown = Reflect.apply(before, this, options);
        if (bytes instanceof Uint8Array) seen.push({ bytes, held: Uint8Array.from(bytes) });
        return bytes;
      } as KeyObject['export'], // the same, and it looks on
  );
  await sealKey(privateKey, { ref: REF, thumbprint }, KEKS);
  expectCleared(seen, 1);
});

test('a private key that was opened is cleared', async () => {
  const { privateKey, thumbprint } = await generateKey('ES256');
  const jwe = await sealKey(privateKey, { ref: REF, thumbprint }, KEKS);
  const seen: Seen[] = [];
  replace(
    crypto,
    'createPrivateKey',
    (before) =>
      ((input: Parameters<typeof before>[0]) => {
        const bytes: unknown = typeof input === 'object' && 'key' in input ? input.key : null;
        if (bytes instanceof Uint8Array) seen.push({ bytes, held: Uint8Array.from(bytes) });
        return before(input);
      }) as typeof before, // the same, and it looks on
  );
  await openKey(jwe, { ref: REF, thumbprint, alg: 'ES256' }, KEKS);
  expectCleared(seen, 1);
});

test('the files of a set that was delivered are cleared', async () => {
  const folder = temporaryFolder();
  const text = makeKey('ES256').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  // Shared, so that it is seen here what the thread does with it.
  const bytes = new Uint8Array(new SharedArrayBuffer(Buffer.byteLength(text)));
  bytes.set(Buffer.from(text));
  const files = new Map([['current.pem', bytes]]) as unknown as Extract<Task, { do: 'replace' }>['files']; // it only reads them
  const thread = new Worker(new URL('../../../src/deliver/thread.ts', import.meta.url));
  onTestFinished(() => thread.terminate().then(() => undefined));
  thread.postMessage({ do: 'replace', target: targetIn(folder), files, epoch: 1 } satisfies Task);
  expect(await once(thread, 'message')).toEqual([null]);
  expect(readFileSync(join(folder, '4711', 'current.pem'), 'utf8')).toBe(text);
  expect(bytes.every((byte) => byte === 0)).toBe(true);
});

test('what was read to compare a file is cleared', () => {
  const path = join(temporaryFolder(), 'current.pem');
  const bytes = Buffer.from('a private key');
  writeDurably([[path, bytes]], 0o600);
  const seen: Seen[] = [];
  replace(
    fs,
    'readSync',
    (before) =>
      ((file: number, buffer: Uint8Array) => {
        const count = before(file, buffer);
        seen.push({ bytes: buffer, held: Uint8Array.from(buffer) });
        return count;
      }) as typeof before, // as it is called here
  );
  expect(isWritten(path, bytes)).toBe(true);
  expectCleared(seen, 1);
});
