import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { deliveryIn, keySetFiles } from '../../src/deliver/key-set.ts';
import type { Task, Undelivered } from '../../src/deliver/thread.ts';
import { openThreads } from '../../src/files/threads.ts';
import { contents, sinkKey } from './contents.ts';
import { targetIn } from './target.ts';

const root = await mkdtemp(join(tmpdir(), 'rekeyd-key-set-'));
afterAll(() => rm(root, { recursive: true }));

const secretOf = (file: Uint8Array | undefined): string => JSON.parse(Buffer.from(file ?? []).toString()).d;

/** Whether `text` is in the memory that small buffers share, after `make` has made something of it. */
function staysInPool(text: string, make: () => unknown): boolean {
  const pool = () => Buffer.from(Buffer.allocUnsafe(1).buffer);
  const before = pool();
  make();
  return [before, pool()].some((bytes) => bytes.includes(text));
}

test('the files of a set do not stay in the memory that buffers share', async () => {
  const set = contents({ current: await sinkKey() });
  const { d = '' } = set.current?.privateKey.keyObject().export({ format: 'jwk' }) ?? {};
  expect(d).toMatch(/^[\w-]{43}$/);
  expect(staysInPool(d, () => keySetFiles(set))).toBe(false);
  expect(
    staysInPool(d, () => Buffer.from(d)),
    'as Node does it',
  ).toBe(true);
});

test('a set says which keys it holds', async () => {
  const [current, previous] = [await sinkKey(), await sinkKey()];
  const files = keySetFiles(contents({ current, previous }));
  const said = deliveryIn(Buffer.from(files.get('meta.json') ?? []).toString());
  expect(said).toEqual({ current: current.kid, next: null, previous: previous.kid });
});

test.each(['', '{', 'null', '[]', '{"current":"a"}', '{"current":1,"next":null,"previous":null}'])(
  'what is not the file that says so says nothing: %s',
  (text) => expect(deliveryIn(text)).toBeNull(),
);

test('the files of a set are moved to the thread that writes them', async () => {
  const threads = openThreads<Task, Undelivered>(new URL('../../src/deliver/thread.ts', import.meta.url), 1);
  const files = keySetFiles(contents({ current: await sinkKey() }));
  const secret = secretOf(files.get('current.jwk.json'));
  const moved = [...files.values()].map(({ buffer }) => buffer);
  const answer = threads.run({ do: 'replace', target: targetIn(root), files, epoch: 1 }, moved);
  expect([...files.values()].map(({ length }) => length)).toEqual([...files].map(() => 0));
  expect(await answer).toBeNull();
  expect(secretOf(await readFile(join(root, '4711', 'current.jwk.json')))).toBe(secret);
  threads.close();
});
