/** RSA keys wait for each other, and nothing else waits for them. */
import { beforeEach, expect, test, vi } from 'vitest';
import type { Algorithm } from '../../src/core/keys.ts';
import { generateKey } from '../../src/keys/generate.ts';
import { openGenerator, rsaAtOnce } from '../../src/keys/generator.ts';
import { until } from '../support/until.ts';

interface Making {
  readonly alg: string;
  /** Lets jose make the key. */
  go(): void;
  fail(error: Error): void;
}

/** The RSA pairs that jose was asked for, in order, while they are held up. */
const making = vi.hoisted((): Making[] => []);
const hold = vi.hoisted(() => ({ isOn: true }));

vi.mock('jose', async (original) => {
  const jose = await original<typeof import('jose')>();
  const generateKeyPair: typeof jose.generateKeyPair = async (alg, options) => {
    if (hold.isOn && /^[RP]S/.test(alg)) {
      await new Promise<void>((go, fail) => making.push({ alg, go, fail }));
    }
    return jose.generateKeyPair(alg, options);
  };
  return { ...jose, generateKeyPair };
});

const SHORT = { modulusLength: 2048 };

beforeEach(() => {
  making.length = 0;
  hold.isOn = true;
});

/** What is under way has come as far as it can without one more key. */
async function settled(): Promise<void> {
  await generateKey('ES256');
}

/** Resolves when jose was asked for that many pairs. */
async function asked(count: number): Promise<void> {
  await until(`${count} keys are begun`, (saw) => saw(making.length) === count);
}

const begun = () => making.map(({ alg }) => alg);

test('no more RSA keys than the limit are made at once, in the order in which they were asked for', async () => {
  const generate = openGenerator(2);
  const algs = ['RS256', 'PS384', 'RS256', 'PS384', 'PS384'] as const;
  const keys = Promise.all(algs.map((alg) => generate(alg, SHORT)));
  for (let done = 0; done < algs.length; done += 1) {
    await asked(Math.min(done + 2, algs.length));
    await settled();
    expect(begun()).toEqual(algs.slice(0, done + 2));
    making[done]?.go();
  }
  expect((await keys).map(({ alg }) => alg)).toEqual(algs);
});

test('an urgent key goes before all that wait, and urgent ones wait for each other', async () => {
  const generate = openGenerator(1);
  const ask = (alg: Algorithm, urgent: boolean) => generate(alg, { ...SHORT, urgent });
  const keys = Promise.all([
    ask('RS256', false),
    ask('RS384', false),
    ask('RS512', false),
    ask('PS256', true),
    ask('PS384', true),
  ]);
  for (let done = 0; done < 5; done += 1) {
    await asked(done + 1);
    making[done]?.go();
  }
  await keys;
  expect(begun()).toEqual(['RS256', 'PS256', 'PS384', 'RS384', 'RS512']);
});

test.each(['ES256', 'EdDSA'] as const)('%s keys do not wait for RSA keys', async (alg) => {
  const generate = openGenerator(1);
  const keys = [generate('RS256', SHORT), generate('RS256', SHORT)];
  expect((await generate(alg)).alg).toBe(alg);
  expect(begun()).toEqual(['RS256']);
  making[0]?.go();
  await keys[0];
  making[1]?.go();
  await keys[1];
});

test('a key that fails makes room for the next', async () => {
  const generate = openGenerator(1);
  const short = generate('RS256', { modulusLength: 1024 });
  const failing = generate('RS256', SHORT);
  const next = generate('RS256', SHORT);
  await expect(short).rejects.toMatchObject({ code: 'key_invalid' });
  making[0]?.fail(new Error('no entropy'));
  await expect(failing).rejects.toThrow('no entropy');
  await asked(2);
  making[1]?.go();
  expect((await next).alg).toBe('RS256');
});

test('a key that nobody waits for any more is not begun, and one that was begun is made', async () => {
  const generate = openGenerator(1);
  const stopping = new AbortController();
  const { signal } = stopping;
  const first = generate('RS256', { ...SHORT, signal });
  const dropped = [generate('RS256', { ...SHORT, signal }), generate('RS256', { ...SHORT, signal, urgent: true })];
  const last = generate('RS256', SHORT);
  await settled();
  stopping.abort(new Error('the service stops'));
  for (const each of dropped) await expect(each).rejects.toThrow('the service stops');
  await expect(generate('RS256', { ...SHORT, signal })).rejects.toThrow('the service stops');
  making[0]?.go();
  await first;
  await asked(2);
  making[1]?.go();
  await last;
  expect(begun()).toEqual(['RS256', 'RS256']);
});

test.each([
  { cores: 1, pool: 4, limit: 1 },
  { cores: 2, pool: 4, limit: 2 },
  { cores: 8, pool: 4, limit: 3 },
  { cores: 8, pool: 10, limit: 8 },
  { cores: 8, pool: 1, limit: 1 },
])('of $cores cores and a pool of $pool threads, RSA takes $limit', ({ cores, pool, limit }) => {
  expect(rsaAtOnce(pool, cores)).toBe(limit);
});

test('AES-GCM and ES256 go on beside a long line of RSA keys', async () => {
  hold.isOn = false;
  const generate = openGenerator(rsaAtOnce());
  const stopping = new AbortController();
  let made = 0;
  const keys = Array.from({ length: 40 }, async () => {
    await generate('RS256', { ...SHORT, signal: stopping.signal });
    made += 1;
  });
  const key = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt']);
  for (let done = 0; done < 10; done += 1) {
    await crypto.subtle.encrypt({ name: 'AES-GCM', iv: new Uint8Array(12) }, key, new Uint8Array(1024));
    await generate('ES256');
  }
  // Behind the line, the first of these alone would have waited for all of it.
  expect(made).toBeLessThan(keys.length);
  stopping.abort();
  await Promise.allSettled(keys);
});
