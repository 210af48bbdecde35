import { expect, test } from 'vitest';
import { parseJob, requestSchema } from '../../jobs/schemas.ts';
import { RekeydError } from '../../src/errors.ts';

const REQUEST = { v: 1, select: { all: true }, reason: 'r', actor: 'a' };

function refusal(data: unknown): string {
  try {
    parseJob(requestSchema, 'request', data);
  } catch (error) {
    if (error instanceof RekeydError) return error.message;
    throw error;
  }
  throw new Error('the data was accepted');
}

test('a refusal stays short, however much was wrong: it is kept in Redis with the job', () => {
  expect(refusal({ ...REQUEST, ['x'.repeat(1_000_000)]: 1 }).length).toBeLessThan(500);
  expect(refusal({ ...REQUEST, v: 2, reason: '', actor: '', compromised: 1 })).toContain('actor: ');
});

test.each(['{"kty":"EC","d":"c2VjcmV0"}', '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n'])(
  'a key in place of a reference is not repeated',
  (text) => {
    expect(refusal({ ...REQUEST, select: { clients: [text] } })).not.toContain('c2VjcmV0');
  },
);

test('members of a prototype are refused, not merged', () => {
  const data = JSON.parse('{"v":1,"select":{"all":true},"reason":"r","actor":"a","__proto__":{"compromised":true}}');
  expect(refusal(data)).toContain('__proto__');
});
