import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { StoredClient } from './clients.ts';
import type { Emulator } from './server.ts';
import { DEPLOYMENT, goodClaims, HOSTS, introspect, makeKey, post, sign, startTestEmulator } from './testing.ts';

/** What the replay of the recorded calls does not show. */
const NOW = Date.parse('2026-11-26T10:00:00.500Z');
const PATH = '/oauth/introspect';
const key = makeKey('ES256');

let emulator: Emulator;
let now = NOW;

beforeAll(async () => {
  emulator = await startTestEmulator({ now: () => now });
});
beforeEach(() => {
  now = NOW;
});
afterAll(() => emulator.close());

const ACCEPTED = { status: 200, body: { active: false } };
const INVALID_CLIENT = { status: 401, body: { error: 'invalid_client' } };
const invalidToken = (kind: string) => ({ status: 400, body: { error_description: `Invalid token: ${kind}` } });

function newClient(members: object): StoredClient {
  return emulator.addClient({ deployment: DEPLOYMENT, app: 'app', ...members });
}

const claimsOf = (client: StoredClient) => goodClaims(client.client_id, HOSTS.app, PATH, Math.floor(now / 1000));
const login = async (client: StoredClient, claims: object = {}, signer = key) =>
  introspect(emulator, HOSTS.app, client.client_id, await sign(signer, { ...claimsOf(client), ...claims }));

test('an app is as the real server unless it says otherwise', () => {
  expect(emulator.addApp({ deployment: DEPLOYMENT, slug: 'new' }).selection).toBe('wacht');
});

test('the log tells which key signed, and more than a 401 does', async () => {
  const client = newClient({ public_key_pem: key.pem, alg: 'ES256' });
  await login(client);
  expect(emulator.log.at(-1)).toMatchObject({ verdict: 'accepted', authenticatedKid: expect.any(String) });
  await login(client, { iss: 'me' });
  expect(emulator.log.at(-1)).toMatchObject({ verdict: 'invalid_client', why: 'iss and sub must be the client_id' });
});

test('a key on another curve, under the right alg, is another signature', async () => {
  const other = makeKey('ES384');
  const client = newClient({ public_key_pem: other.pem, alg: 'ES256' });
  expect(await login(client)).toMatchObject(invalidToken('InvalidSignature'));
});

test.each([
  ['four parts', 'e30.e30.e30.e30', 'Base64 error: Invalid symbol 46, offset 3.'],
  ['padding', 'e30=.e30.e30', 'Base64 error: Invalid padding'],
  ['a symbol too many', 'e30aa.e30.e30', 'Base64 error: Invalid input length: 5'],
  ['bits too many', 'e31.e30.e30', 'Base64 error: Invalid last symbol 49, offset 2.'],
  ['no alg', 'e30.e30.e30', 'JSON error: missing field `alg` at line 1 column 2'],
])('an assertion with %s', async (_what, assertion, kind) => {
  const client = newClient({ public_key_pem: key.pem, alg: 'ES256' });
  expect(await introspect(emulator, HOSTS.app, client.client_id, assertion)).toMatchObject(invalidToken(kind));
});

test('a jti can come again once its assertion has ended', async () => {
  const client = newClient({ public_key_pem: key.pem, alg: 'ES256' });
  expect(await login(client, { jti: 'one' })).toMatchObject(ACCEPTED);
  now += 59_000;
  expect(await login(client, { jti: 'one' })).toMatchObject(INVALID_CLIENT);
  now += 1_000;
  expect(await login(client, { jti: 'one' })).toMatchObject(ACCEPTED);
});

describe('clients without a key', () => {
  const form = (client: StoredClient, members: object = {}) =>
    post(emulator, HOSTS.app, PATH, { token: 'made-up', client_id: client.client_id, ...members });

  test('none: whoever knows its client_id', async () => {
    expect(await form(newClient({ client_auth_method: 'none' }))).toMatchObject(ACCEPTED);
  });

  test('client_secret_post: the secret in the form', async () => {
    const client = newClient({ client_auth_method: 'client_secret_post' });
    const client_secret = emulator.secretOf(client);
    expect(await form(client, { client_secret })).toMatchObject(ACCEPTED);
    expect(await form(client, { client_secret: 'another' })).toMatchObject(INVALID_CLIENT);
    expect(await form(client)).toMatchObject(INVALID_CLIENT);
  });

  test('client_secret_jwt: an assertion signed with the secret', async () => {
    const client = newClient({ client_auth_method: 'client_secret_jwt' });
    const signed = (secret: string) => {
      const parts = [{ alg: 'HS256' }, claimsOf(client)].map((part) =>
        Buffer.from(JSON.stringify(part)).toString('base64url'),
      );
      return `${parts.join('.')}.${createHmac('sha256', secret).update(parts.join('.')).digest('base64url')}`;
    };
    const secret = emulator.secretOf(client) ?? '';
    expect(await introspect(emulator, HOSTS.app, client.client_id, signed(secret))).toMatchObject(ACCEPTED);
    const wrong = await introspect(emulator, HOSTS.app, client.client_id, signed('another'));
    expect(wrong).toMatchObject(invalidToken('InvalidSignature'));
  });
});
