/** Keys in files that their recipient opens. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { compactDecrypt, decodeProtectedHeader } from 'jose';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { Recipient } from '../../../src/config/sinks/model.ts';
import { encryptedFileSink } from '../../../src/deliver/encrypted-file/sink.ts';
import type { DeliveringStore } from '../../../src/deliver/fence.ts';
import type { Sink } from '../../../src/deliver/sink.ts';
import { findNeedles, needlesOf } from '../../support/secrets.ts';
import { contents, deliveryAt, holds, message, SET_FILES, sinkKey } from '../contents.ts';

let root: string;
let file: string;

beforeEach(() => {
  root = join(mkdtempSync(join(tmpdir(), 'rekeyd-encrypted-')), 'handover');
  file = join(root, '185019846023', 'mcp-auth', '4711.jwe');
});

afterEach(() => rmSync(dirname(root), { recursive: true }));

interface Holder {
  readonly recipient: Recipient;
  readonly privateKey: KeyObject;
}

const pairs: Readonly<Record<string, () => { publicKey: KeyObject; privateKey: KeyObject }>> = {
  'RSA-OAEP-256': () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  'ECDH-ES+A256KW P-256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'ECDH-ES+A256KW P-521': () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  'ECDH-ES+A256KW X25519': () => generateKeyPairSync('x25519'),
};

function holderOf(kind: string): Holder {
  const { publicKey, privateKey } = pairs[kind]?.() ?? generateKeyPairSync('x25519');
  const alg = kind.split(' ')[0] as Recipient['alg']; // as the names above begin
  return { recipient: { jwk: publicKey.export({ format: 'jwk' }), alg, kid: 'recipient-1' }, privateKey };
}

function sinkFor({ recipient }: Holder, store: DeliveringStore | null = null, path = root): Sink {
  const access = { mode: 0o640, dirMode: 0o750, owner: null, group: null };
  const sink = encryptedFileSink({ kind: 'encrypted_file', path, access, recipient }, { store });
  onTestFinished(() => sink.close());
  return sink;
}

async function opened(holder: Holder): Promise<{ files: Record<string, string>; [name: string]: unknown }> {
  const { plaintext } = await compactDecrypt(readFileSync(file, 'utf8').trim(), holder.privateKey);
  return JSON.parse(new TextDecoder().decode(plaintext));
}

test.each(Object.keys(pairs))(
  '%s: the recipient opens the whole set, and nobody else sees a private key',
  async (kind) => {
    const holder = holderOf(kind);
    const sink = sinkFor(holder);
    const [a, b] = [await sinkKey(), await sinkKey()];
    await sink.deliver(contents({ current: a, next: b }));
    const { files, ...told } = await opened(holder);
    expect(told).toMatchObject({ v: 1, client: '185019846023/mcp-auth/4711', current: a.kid, next: b.kid, epoch: 1 });
    expect(Object.keys(files).sort()).toEqual(SET_FILES);
    expect(holds(a, files['current.pem'] ?? '')).toBe(true);
    const text = readFileSync(file, 'utf8');
    expect(decodeProtectedHeader(text.trim())).toMatchObject({
      alg: kind.split(' ')[0],
      enc: 'A256GCM',
      kid: 'recipient-1',
      cty: 'json',
    });
    for (const { kid, privateKey } of [a, b])
      expect(findNeedles(needlesOf(kid, privateKey.keyObject()), Buffer.from(text))).toEqual([]);
    expect(await deliveryAt(sink)).toEqual({ current: a.kid, next: b.kid, previous: null });

    await sink.deliver(contents({}, { epoch: 2 }));
    expect(Object.keys((await opened(holder)).files).sort()).toEqual(['meta.json', 'public.jwks.json']);
    expect(readdirSync(dirname(file))).toEqual(['4711.jwe']);
    expect([statSync(file).mode & 0o777, statSync(dirname(file)).mode & 0o777]).toEqual([0o640, 0o750]);
  },
);

test('an earlier claim, another store and a file of somebody else are refused, and each file stays', async () => {
  const holder = holderOf('ECDH-ES+A256KW X25519');
  const [one, two] = ['one', 'two'].map((id) => sinkFor(holder, { id: () => id, predecessors: async () => [] }));
  await one?.deliver(contents({ current: await sinkKey() }, { epoch: 7 }));
  const before = readFileSync(file, 'utf8');
  await expect(one?.deliver(contents({}, { epoch: 6 }))).rejects.toMatchObject({ code: 'sink_outdated', epoch: 7 });
  await expect(two?.deliver(contents({}, { epoch: 8 }))).rejects.toThrow('the store one delivers there');
  expect(readFileSync(file, 'utf8')).toBe(before);

  writeFileSync(file, 'theirs');
  expect(await message(sinkFor(holder).deliver(contents({})))).toMatch(
    /something is there that rekeyd did not make.*Move it away/,
  );
  expect(readFileSync(file, 'utf8')).toBe('theirs');
  expect(await deliveryAt(sinkFor(holder))).toBeNull();
  expect(readdirSync(dirname(file))).toEqual(['4711.jwe']);
});

test('a file that never ends is not read, and a pipe that nobody writes to is not waited for', async () => {
  const sink = sinkFor(holderOf('ECDH-ES+A256KW X25519'));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, '');
  // All of it would not fit into memory; on disk it takes no room.
  truncateSync(file, 2 ** 42);
  const others = [() => {}, () => execFileSync('mkfifo', [file]), () => mkdirSync(file)];
  for (const [index, put] of others.entries()) {
    if (index > 0) rmSync(file, { recursive: true });
    put();
    expect(await message(sink.deliver(contents({})))).toContain('something is there that rekeyd did not make');
    expect(await deliveryAt(sink)).toBeNull();
  }
});

test('a delivery that stood still replaces no set of a later claim, and leaves nothing behind', async () => {
  const holder = holderOf('ECDH-ES+A256KW X25519');
  const store = (id: string, meanwhile = async () => {}): DeliveringStore => ({
    id: () => id,
    predecessors: async () => {
      await meanwhile();
      return ['before'];
    },
  });
  const [late, early] = [await sinkKey(), await sinkKey()];
  await sinkFor(holder, store('before')).deliver(contents({}));
  let isOvertaken = false;
  // It is asked for its predecessors after the look at the file, and before the swap.
  const slow = store('now', async () => {
    if (isOvertaken) return;
    isOvertaken = true;
    await sinkFor(holder, store('now')).deliver(contents({ current: late }, { epoch: 7 }));
  });
  const outdated = sinkFor(holder, slow).deliver(contents({ current: early }, { epoch: 6 }));
  await expect(outdated).rejects.toMatchObject({ code: 'sink_outdated', epoch: 7 });
  expect(await deliveryAt(sinkFor(holder))).toMatchObject({ current: late.kid });
  expect(readdirSync(dirname(file))).toEqual(['4711.jwe']);
});

test('a path that cannot be written is told, by the check too', async () => {
  const sink = sinkFor(holderOf('ECDH-ES+A256KW P-256'));
  expect(await sink.check()).toBeNull();
  expect(readdirSync(root)).toEqual([]);
  rmSync(root, { recursive: true });
  writeFileSync(root, 'a file');
  for (const told of [await sink.check(), await message(sink.deliver(contents({ current: await sinkKey() })))]) {
    expect(told).toMatch(/ENOTDIR|EEXIST|is not a folder/);
    expect(told).toMatch(/Keys cannot be delivered to .*handover/);
  }
  rmSync(root);
  mkdirSync(file, { recursive: true });
  expect(await message(sink.deliver(contents({ current: await sinkKey() })))).toContain('something is there');
  // There `mkdir` answers ENOENT, as it does where another delivery has just removed a folder.
  const nowhere = sinkFor(holderOf('ECDH-ES+A256KW P-256'), null, '/proc/handover');
  for (const told of [await nowhere.check(), await message(nowhere.deliver(contents({})))])
    expect(told).toMatch(/ENOENT.*\/proc\/handover.*set another path/);
});
