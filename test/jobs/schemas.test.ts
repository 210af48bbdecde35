import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { parseJob, requestJsonSchema, requestSchema } from '../../jobs/schemas.ts';
import { RekeydError } from '../../src/errors.ts';

const REQUEST = { v: 1, select: { all: true }, reason: 'r', actor: 'a' };

const REF = '185019846023/mcp-auth/4711';

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

test.each<[data: object, problem: string]>([
  [
    { select: { clients: [REF, 'nonsense'] } },
    'select.clients.1: "nonsense" is not a client reference. Write deployment/',
  ],
  [{ select: { clients: [] } }, 'select.clients: '],
  [{ select: { clients: REF } }, 'select.clients: '],
  [{ select: { app: '1' } }, 'select.app: must be deployment/app-slug'],
  [{ select: { all: false } }, 'select.all: must be true'],
  [{ select: { policy: ' ' } }, 'select.policy: must have 1 to 500 characters'],
  [{ select: {} }, 'select: must have exactly one of these: clients'],
  [{ select: { client: REF } }, 'select: must have exactly one of these: clients'],
  [{ select: { all: true, app: 'a/b' } }, 'select: must have exactly one of these: clients'],
  [{ select: REF }, 'select: must have exactly one of these: clients'],
  [{ compromised: 'yes' }, 'compromised: must be true, false or { kid }'],
  [{ compromised: { kid: '' } }, 'compromised.kid: must have 1 to 500 characters'],
])('a refusal says which member is wrong, and how: %j', (data, problem) => {
  const message = refusal({ ...REQUEST, ...data });
  expect(message).toContain(`cannot be used: ${problem}`);
  expect(message).not.toContain('Invalid input: ;');
});

test.each([
  ['a PEM', (key: KeyObject) => String(key.export({ format: 'pem', type: 'pkcs8' }))],
  ['a JWK', (key: KeyObject) => JSON.stringify(key.export({ format: 'jwk' }))],
  ['a JWK in JSON', (key: KeyObject) => JSON.stringify(JSON.stringify(key.export({ format: 'jwk' })))],
  ['a token', () => `rekeyd_${'kH3-_xYz'.repeat(5)}abc`],
])('the audit trail is told no secret: %s', (_, write) => {
  const text = `found: ${write(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)}`;
  for (const member of ['reason', 'actor']) {
    const message = refusal({ ...REQUEST, [member]: text });
    expect(message).toContain(`${member}: holds a private key`);
    expect(message).not.toContain(text.slice(40, 80));
  }
});

const LONGEST = 'x'.repeat(500);
const selecting = (select: unknown) => ({ ...REQUEST, select });
const because = (reason: unknown) => ({ ...REQUEST, reason });

test.each<[what: string, data: unknown, taken: boolean]>([
  ['all clients', REQUEST, true],
  ['a client', selecting({ clients: [REF] }), true],
  ['nonsense for a client', selecting({ clients: [REF, 'nonsense'] }), false],
  ['a client of four segments', selecting({ clients: [`${REF}/1`] }), false],
  ['a client that leaves its folder', selecting({ clients: ['1/../4711'] }), false],
  ['a client of an empty app', selecting({ clients: ['1//4711'] }), false],
  ['a client with a line end', selecting({ clients: [`${REF}\n`] }), false],
  ['the longest segment', selecting({ app: `1/${'x'.repeat(128)}` }), true],
  ['a longer segment', selecting({ app: `1/${'x'.repeat(129)}` }), false],
  ['an app', selecting({ app: '1/a.b~c_d-e' }), true],
  ['nonsense for an app', selecting({ app: 'nonsense' }), false],
  ['a client for an app', selecting({ app: REF }), false],
  ['a policy', selecting({ policy: 'payments' }), true],
  ['a blank policy', selecting({ policy: '\u00a0' }), false],
  ['a blank reason', because(' \n'), false],
  ['the longest reason', because(LONGEST), true],
  ['the longest reason, with blanks around it', because(`  ${LONGEST}\n`), true],
  ['a longer reason', because(`${LONGEST}x`), false],
  ['a reason of several lines', because('found in a log:\n\nsee there'), true],
  ['the longest reason, of characters that are two in UTF-16', because('\u{1f511}'.repeat(500)), true],
  ['a longer one of them', because('\u{1f511}'.repeat(501)), false],
  ['a blank actor', { ...REQUEST, actor: '' }, false],
  ['a kid', { ...REQUEST, compromised: { kid: 'k1' } }, true],
  ['an alg to try', { ...REQUEST, try_alg: true }, true],
  ['nonsense for an alg to try', { ...REQUEST, try_alg: 'ES384' }, false],
  ['a blank kid', { ...REQUEST, compromised: { kid: ' ' } }, false],
])('the published schema and the worker agree on %s', (_what, data, taken) => {
  expect(requestSchema.safeParse(data).success).toBe(taken);
  expect(new Ajv2020().compile(Object(requestJsonSchema()))(data)).toBe(taken);
});
