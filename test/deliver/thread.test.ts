/** What a thread that delivers keys leaves of them in its memory. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { targetIn } from './target.ts';

const ENTRY = new URL('../../src/deliver/thread.ts', import.meta.url);
const SECRET = 'the private half of a key';

let root: string;
let thread: Worker;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'rekeyd-thread-'));
  thread = new Worker(ENTRY);
});
afterAll(async () => {
  await thread.terminate();
  await rm(root, { recursive: true });
});

/** In memory that both threads see, which a delivery never uses. */
function shared(text: string): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(text.length));
  bytes.set(new TextEncoder().encode(text));
  return bytes;
}

async function deliver(folder: string): Promise<{ readonly answer: unknown; readonly left: string }> {
  const bytes = shared(SECRET);
  const files = new Map([['current.jwk.json', bytes]]);
  thread.postMessage({ do: 'replace', target: targetIn(folder), files, epoch: 1 });
  const [answer] = await once(thread, 'message');
  return { answer, left: Buffer.from(bytes).toString() };
}

test('it clears what it was given, whether it could be delivered or not', async () => {
  const cleared = '\0'.repeat(SECRET.length);
  expect(await deliver(join(root, 'keys'))).toEqual({ answer: null, left: cleared });
  expect(await readFile(join(root, 'keys', '4711', 'current.jwk.json'), 'utf8')).toBe(SECRET);
  await writeFile(join(root, 'file'), '');
  expect(await deliver(join(root, 'file', 'keys'))).toEqual({
    answer: expect.objectContaining({ code: 'ENOTDIR' }),
    left: cleared,
  });
});
