import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PublicJwk } from '../../src/core/document.ts';
import { sameJson } from '../../src/core/json.ts';
import { classifyProof } from '../../src/core/proof.ts';
import { readBack } from '../../src/core/readback.ts';
import { classifyReply } from '../../src/core/reply.ts';
import { keyId, publishedKey } from '../../src/keys/key-id.ts';
import { clientListReader } from '../../src/wacht/list.ts';
import { observedApps, observedClient } from '../../src/wacht/observed.ts';
import { came, distorted, fuzz, mutated, oddJson } from './cases.ts';

const JWK = {
  kty: 'EC',
  crv: 'P-256',
  x: 'eA',
  y: 'eQ',
  kid: 'k',
  alg: 'ES256',
  public_key_pem: '-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----',
};
const CLIENT = {
  id: '4711',
  client_id: 'c',
  client_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: 'ES256',
  jwks_uri: null,
  jwks: { keys: [JWK] },
  public_key_pem: null,
  is_active: true,
  updated_at: '2026-11-23T00:00:00Z',
};
const PAIR = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const APP = { id: '1', slug: 'a', name: 'A', fqdn: 'auth.example.com', is_active: true };

/** 20,000 levels: JSON.parse takes them, and recursion does not. */
const DEEP: unknown = JSON.parse('['.repeat(20_000) + ']'.repeat(20_000));
const POLLUTED = JSON.parse('{"__proto__": {"polluted": true}, "kty": "__proto__"}');

const jwk = fc.oneof(distorted(JWK), oddJson, fc.constant(POLLUTED));
const keySet = fc.record({ keys: fc.array(jwk, { maxLength: 3 }) });
const client = fc.oneof(
  distorted(CLIENT),
  keySet.map((jwks) => ({ ...CLIENT, jwks })),
  oddJson,
);
const CORPUS = [
  CLIENT,
  { ...CLIENT, jwks: { keys: [{ ...JWK, deep: DEEP }] } },
  { ...CLIENT, jwks: { keys: [{ kty: 'X', kid: DEEP }] } },
  { ...CLIENT, jwks: { keys: [POLLUTED] } },
  { ...CLIENT, id: 2 ** 60 },
  { ...CLIENT, id: 4711 },
  DEEP,
];

test('a client is read whole or refused, and what was read can be compared, stored and written back', async () => {
  await fuzz(client, CORPUS, async (body) => {
    const result = await came(() => observedClient(body));
    if ('error' in result) return;
    const seen = result.value;
    expect([seen.id, seen.clientId].every((text) => typeof text === 'string' && text !== '')).toBe(true);
    expect(JSON.parse(JSON.stringify(seen))).toEqual(seen);
    for (const { jwk } of seen.keys) {
      expect(sameJson(jwk, JSON.parse(JSON.stringify(jwk)))).toBe(true);
      expect(Object.values(jwk)).not.toContain(null);
    }
    const alg = seen.alg ?? 'ES256';
    const back = { ...observedClient(JSON.parse(JSON.stringify(body))), alg };
    expect(readBack({ format: 'jwks', keys: seen.keys, alg }, back)).toBeNull();
  });
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined(); // an object that nobody touched
});

test('a list is read whole or refused', async () => {
  const lists = fc.record({
    clients: fc.oneof(fc.array(client, { maxLength: 3 }), oddJson),
    apps: fc.array(fc.oneof(distorted(APP), oddJson), { maxLength: 3 }),
  });
  const corpus = [{ clients: [CLIENT, { ...CLIENT, id: '' }], apps: [APP] }];
  await fuzz(lists, corpus, async (body) => {
    const list = await came(() => readList(body));
    if ('value' in list) {
      const { clients, unreadable } = list.value;
      const ids = new Set([...clients.map(({ id }) => id), ...unreadable.keys()]);
      // Each row is taken or named as unreadable: none is lost.
      expect(ids).toEqual(new Set(Array.isArray(body.clients) ? body.clients.map((row) => String(row?.id)) : []));
    }
    const apps = await came(() => observedApps(body));
    if ('value' in apps) expect(apps.value.length).toBe(body.apps.length);
  });
});

async function readList(body: unknown) {
  const reader = clientListReader(async (clients) => clients);
  await reader.take(Buffer.from(JSON.stringify(body)));
  return reader.finish();
}

test('an entry of a set holds keys or none, whatever it is, and another member of it changes nothing', async () => {
  const pem = PAIR.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const good = { ...PAIR.publicKey.export({ format: 'jwk' }), kid: 'k', public_key_pem: pem };
  const key = fc.oneof(distorted(good), distorted({ ...good, kty: 'PEM' }), distorted(JWK), mutated(pem).map(asPem));
  await fuzz(
    key,
    [good, asPem(pem), asPem(''), asPem('-'.repeat(100_000)), { kty: 'EC', x5c: ['A'.repeat(100_000)] }],
    (members) => {
      const jwk: PublicJwk = { ...members, kty: typeof members.kty === 'string' ? members.kty : 'X' };
      const { ids, pemId } = publishedKey(jwk);
      expect(ids.every((id) => /^[\w-]{43}$/.test(id)) && ids.length === new Set(ids).size).toBe(true);
      expect(pemId === null || ids.includes(pemId)).toBe(true);
      expect(publishedKey({ ...jwk, note: 'x' })).toMatchObject({ ids, pemId });
      if (isSame(jwk, good)) expect(ids).toContain(keyId(PAIR.publicKey));
    },
  );
});

function asPem(text: string): Record<string, unknown> {
  return { kty: 'PEM', public_key_pem: text };
}

function isSame(jwk: PublicJwk, good: Readonly<Record<string, unknown>>): boolean {
  return ['kty', 'crv', 'x', 'y'].every((name) => jwk[name] === good[name]);
}

const bodies = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  oddJson.map((value) => JSON.stringify(value) ?? ''),
  mutated('{"errors":[{"message":"Rate limit exceeded. Retry after 60 seconds","code":429}]}'),
  mutated('{"error":"invalid_request","error_description":"Invalid token: InvalidSignature","active":true}'),
);
const answers = fc.record({
  status: fc.oneof(
    fc.constantFrom(100, 200, 204, 302, 400, 401, 403, 404, 408, 409, 429, 500, 503),
    fc.integer({ min: 0, max: 999 }),
  ),
  headers: fc.dictionary(
    fc.constantFrom('retry-after', 'ratelimit', 'ratelimit-reset', 'x-ratelimit-reset', 'content-encoding'),
    fc.oneof(
      fc.string({ maxLength: 40 }),
      fc.constantFrom('0', '-1', '9'.repeat(400), 'Sun, 06 Nov 1994 08:49:37 GMT', 'Mon', 'reset=5', 'gzip'),
    ),
  ),
  body: bodies,
  now: fc.integer({ min: 0, max: 8.64e15 }),
});
const DEEP_BODY = '['.repeat(200_000) + ']'.repeat(200_000);
const ANSWERS = [200, 400, 429].map((status) => ({ status, headers: {}, body: DEEP_BODY, now: 0 }));

test('an answer of the API has one meaning', async () => {
  await fuzz(answers, ANSWERS, (answer) => {
    const reply = classifyReply(answer);
    expect(reply.class === 'done').toBe(
      reply.status !== null && reply.status >= 200 && reply.status < 300 && reply.class !== 'unknown',
    );
    if (reply.class === 'done') return;
    expect(reply.message.length).toBeGreaterThan(0);
    expect(reply.message.length).toBeLessThanOrEqual(330);
    expect(reply.message).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
    if (reply.class === 'throttled') expect(reply.retryAfterMs >= 1_000 && reply.retryAfterMs <= 3_600_000).toBe(true);
  });
});

test('a key counts as accepted only on 200 with a boolean active, and as refused only on 400 and 401', async () => {
  await fuzz(answers, ANSWERS, (answer) => {
    const { verdict } = classifyProof(answer);
    if (verdict === 'accepted')
      expect([answer.status, typeof JSON.parse(answer.body).active]).toEqual([200, 'boolean']);
    if (verdict === 'refused') expect([400, 401]).toContain(answer.status);
    if (verdict === 'throttled') expect(answer.status).toBe(429);
  });
});
