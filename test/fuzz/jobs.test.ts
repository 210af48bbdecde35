import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { z } from 'zod';
import {
  discoverSchema,
  parseJob,
  probeSchema,
  reconcileSchema,
  requestJsonSchema,
  requestSchema,
  rotateSchema,
  sweepSchema,
  waveSchema,
} from '../../jobs/schemas.ts';
import { parseReference } from '../../src/core/client.ts';
import { came, distorted, fuzz, oddJson } from './cases.ts';

const REF = '185019846023/mcp-auth/4711';
const REQUEST = {
  v: 1,
  select: { clients: [REF] },
  reason: 'found in a log',
  actor: 'siem',
  compromised: false,
  keep_standby: false,
  confirm: false,
  take_over: false,
  try_alg: false,
};
const TARGETS: readonly [string, z.ZodType, Record<string, unknown>][] = [
  ['request', requestSchema, REQUEST],
  ['sweep', sweepSchema, { v: 1, policy: 'default', slot: '2026-11-23T00:00:00Z', reindex: false }],
  ['discover', discoverSchema, { v: 1, policy: 'default', slot: '2026-11-23T00:00:00Z' }],
  ['wave', waveSchema, { v: 1, policy: 'default', slot: 'wave-2026-11-23T00:00:00.000Z' }],
  ['probe', probeSchema, { v: 1, app: '185019846023/mcp-auth' }],
  ['reconcile', reconcileSchema, { v: 1 }],
  ['rotate', rotateSchema, { v: 1, client: REF, rotation: 'r1' }],
];

const polluted = (json: string): unknown => JSON.parse(json);
const CORPUS: readonly unknown[] = [
  null,
  [],
  'text',
  { ...REQUEST, select: { clients: Array.from({ length: 10_001 }, () => REF) } },
  { ...REQUEST, select: { clients: Array.from({ length: 2_000 }, () => 'x'.repeat(300)) } },
  { ...REQUEST, select: { all: true, app: 'a/b' } },
  { ...REQUEST, reason: 'x'.repeat(1_000_000) },
  { ...REQUEST, ['x'.repeat(1_000_000)]: 1 },
  { ...REQUEST, ...Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`k${at}`, at])) },
  polluted('{"v":1,"select":{"all":true,"__proto__":{"app":"a/b"}},"reason":"r","actor":"a"}'),
  polluted('{"v":1,"select":{"all":true},"reason":"r","actor":"a","__proto__":{"compromised":true}}'),
  polluted('{"__proto__":{"v":1,"select":{"all":true},"reason":"r","actor":"a"}}'),
  polluted('{"v":1,"select":{"all":true},"reason":"r","actor":"a","constructor":{"prototype":{"x":1}}}'),
];

const value = fc.oneof(
  oddJson,
  fc.constantFrom('', ' ', '\0', 'x'.repeat(501), true, 1, 2),
  fc.constantFrom<unknown>(
    { all: true },
    { policy: 'p' },
    { app: 'a/../b' },
    { clients: ['../../x'] },
    { clients: [] },
    { kid: 'k' },
    { kek: 'x'.repeat(501) },
    { host: 'h', kid: 'k' },
  ),
);

describe('data of a job', () => {
  test.each(TARGETS)('%s is taken as it is meant or refused in few words', async (name, schema, good) => {
    expect(parseJob(schema, name, good)).toEqual(good);
    await fuzz<unknown>(fc.oneof(distorted(good, value), oddJson), CORPUS, async (data) => {
      const result = await came(() => parseJob(schema, name, data));
      if ('error' in result) {
        expect(result.error).toMatchObject({ code: 'job_invalid' });
        expect(result.error.message.length).toBeLessThan(2_500);
        return;
      }
      // It means the same when it is read again, and holds nothing that the schema does not know.
      expect(parseJob(schema, name, JSON.parse(JSON.stringify(result.value)))).toEqual(result.value);
      expect(Object.keys(good)).toEqual(expect.arrayContaining(Object.keys(Object(result.value))));
      expect(Object.getPrototypeOf(result.value)).toBe(Object.prototype);
    });
  });
});

test('a request that is taken selects in exactly one way, by references that parse', async () => {
  await fuzz(distorted(REQUEST, value), [], async (data) => {
    const result = await came(() => parseJob(requestSchema, 'request', data));
    if ('error' in result) return;
    const { select, reason, actor } = result.value;
    expect(Object.keys(select)).toHaveLength(1);
    if ('clients' in select) expect(select.clients.map(parseReference)).toEqual(select.clients);
    for (const words of [reason, actor]) expect(words.trim().length >= 1 && [...words].length <= 500).toBe(true);
  });
});

test('the published schema takes just the requests that a worker takes', async () => {
  const validate = new Ajv2020().compile(Object(requestJsonSchema()));
  await fuzz<unknown>(fc.oneof(distorted(REQUEST, value), oddJson), CORPUS, (data) => {
    expect(validate(data)).toBe(requestSchema.safeParse(data).success);
  });
});
