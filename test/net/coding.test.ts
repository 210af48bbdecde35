/** Answers that somebody on the way has compressed. */
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Exchange, exchange } from '../../src/net/exchange.ts';
import { openPool } from '../../src/net/pool.ts';
import { type Handler, serve } from '../wacht/serve.ts';

const DOCUMENT = JSON.stringify({ id: '4711', name: 'é'.repeat(300) });

const CODINGS: readonly [string, (text: string | Buffer) => Buffer][] = [
  ['gzip', gzipSync],
  ['x-gzip', gzipSync],
  ['GZIP', gzipSync],
  ['deflate', deflateSync],
  ['br', brotliCompressSync],
];

async function ask(handler: Handler, more: Partial<Exchange> = {}) {
  const { origin } = await serve(handler);
  const pool = openPool(origin, { connections: 1, timeoutMs: 20_000 });
  onTestFinished(() => pool.close());
  return exchange(pool, {
    method: 'GET',
    path: '/',
    headers: {},
    body: null,
    timeoutMs: 20_000,
    maxBytes: 1024 * 1024,
    signal: undefined,
    now: Date.now,
    ...more,
  });
}

function answering(status: number, coding: string, body: Buffer): Handler {
  return (_, response) => void response.writeHead(status, { 'content-encoding': coding }).end(body);
}

describe.each(CODINGS)('%s', (coding, compress) => {
  test.each([200, 422])('is read, whatever the status is: %s', async (status) => {
    const answer = await ask(answering(status, coding, compress(DOCUMENT)));
    expect(answer).toMatchObject({ kind: 'answered', status, body: DOCUMENT });
  });

  test('counts as large as it is when it is read', async () => {
    const bomb = compress(Buffer.alloc(64 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(1024 * 1024);
    const before = process.memoryUsage.rss();
    const answer = await ask(answering(200, coding, bomb));
    expect(answer).toMatchObject({ kind: 'lost', message: 'the answer is larger than 1048576 bytes' });
    expect(process.memoryUsage.rss() - before).toBeLessThan(48 * 1024 * 1024);
  });

  test('that is none, or is cut off, is no answer', async () => {
    const whole = compress(DOCUMENT);
    for (const body of [Buffer.from(DOCUMENT), whole.subarray(0, whole.length >> 1)]) {
      const answer = await ask(answering(200, coding, body));
      expect(answer).toMatchObject({ kind: 'lost', status: 200, message: expect.stringMatching(/cannot be read as/) });
      expect(await ask(answering(503, coding, body))).toMatchObject({ kind: 'answered', status: 503 });
    }
  });
});

test('a list is taken piece by piece, decompressed', async () => {
  const pieces: Uint8Array[] = [];
  const take = async (piece: Uint8Array) => void pieces.push(piece);
  await ask(answering(200, 'gzip', gzipSync(DOCUMENT.repeat(500))), { take });
  expect(pieces.length).toBeGreaterThan(1);
  expect(Buffer.concat(pieces).toString()).toBe(DOCUMENT.repeat(500));
});

test('another coding is refused by its name, and the status of a refusal still counts', async () => {
  for (const coding of ['compress', 'gzip, br', 'zstd']) {
    const message = `the answer is encoded as ${coding}, which rekeyd does not read`;
    expect(await ask(answering(200, coding, Buffer.from('x')))).toMatchObject({ kind: 'lost', status: 200, message });
    const refused = await ask(answering(403, coding, Buffer.from('x')));
    expect(refused).toMatchObject({ kind: 'answered', status: 403, body: '' });
  }
});
