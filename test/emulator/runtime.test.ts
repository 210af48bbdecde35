import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { calculateJwkThumbprint } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StoredClient } from './clients.ts';
import type { Emulator } from './server.ts';
import {
  ASSERTION_TYPE,
  DEPLOYMENT,
  goodClaims,
  HOSTS,
  introspect,
  makeKey,
  post,
  sign,
  startTestEmulator,
} from './testing.ts';

const HOST = HOSTS['pem-app'];
const PATH = '/oauth/introspect';
const key = makeKey('ES256');

let emulator: Emulator;
let client: StoredClient;

beforeAll(async () => {
  emulator = await startTestEmulator();
  client = emulator.addClient({ deployment: DEPLOYMENT, app: 'pem-app', public_key_pem: key.pem, alg: 'ES256' });
});
afterAll(() => emulator.close());

async function form(path: string, members: Record<string, string>) {
  return {
    ...members,
    client_id: client.client_id,
    client_assertion_type: ASSERTION_TYPE,
    client_assertion: await sign(key, goodClaims(client.client_id, HOST, path)),
  };
}

/** With node:http, because fetch sets `Host` itself. */
async function statusOf(host: string, members: Record<string, string>): Promise<number | undefined> {
  const outgoing = request(`${emulator.url}${PATH}`, {
    method: 'POST',
    headers: { host, 'content-type': 'application/x-www-form-urlencoded' },
  });
  outgoing.end(new URLSearchParams(members).toString());
  const [response] = await once(outgoing, 'response');
  response.resume();
  return response.statusCode;
}

test.each([
  ['/oauth/token', { grant_type: 'client_credentials' }, 200, { token_type: 'Bearer' }],
  ['/oauth/token', { grant_type: 'password' }, 400, { error: 'unsupported_grant_type' }],
  ['/oauth/token', {}, 422, { errors: [{ message: 'Invalid request payload', code: 422 }] }],
  ['/oauth/introspect', { token: 'made-up' }, 200, { active: false }],
  ['/oauth/introspect', { token: ' ' }, 400, { error: 'invalid_request', error_description: 'token is required' }],
  ['/oauth/revoke', { token: 'made-up' }, 200, { revoked: true }],
])('%s with %j', async (path, members, status, body) => {
  expect(await post(emulator, HOST, path, await form(path, members))).toMatchObject({ status, body });
});

test('the app is found by Host when no proxy says otherwise; a host of no app is the server’s fault', async () => {
  expect(await statusOf('auth.example.com:443', await form(PATH, { token: 'made-up' }))).toBe(200);
  expect(await statusOf('nowhere.example.com', await form(PATH, { token: 'made-up' }))).toBe(500);
});

test('what is no HTTP gets an answer without a body', async () => {
  const socket = connect(Number(new URL(emulator.url).port), '127.0.0.1');
  socket.end('hello\r\n\r\n');
  const answer = Buffer.concat(await socket.toArray()).toString();
  expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*\r\n\r\n$/);
});

test('only forms are read', async () => {
  const headers = { 'x-forwarded-host': HOST, 'content-type': 'application/json' };
  const response = await fetch(`${emulator.url}${PATH}`, { method: 'POST', headers, body: '{"token":"made-up"}' });
  expect(response.status).toBe(415);
});

test('a 401 carries its challenge', async () => {
  const reply = await introspect(emulator, HOST, 'oc_unknown', 'x');
  expect(reply.headers.get('www-authenticate')).toBe('Basic realm="oauth", error="invalid_client"');
});

test('the log tells who signed in with which key, and why not', async () => {
  const claims = goodClaims(client.client_id, HOST, PATH);
  await introspect(emulator, HOST, client.client_id, await sign(key, claims));
  expect(emulator.log.at(-1)).toMatchObject({
    api: 'runtime',
    path: PATH,
    client: client.id,
    clientId: client.client_id,
    status: 200,
    verdict: 'accepted',
    authenticatedKid: await calculateJwkThumbprint(key.jwk),
  });
  await introspect(emulator, HOST, client.client_id, await sign(key, { ...claims, iss: 'me' }));
  const why = 'iss and sub must be the client_id';
  expect(emulator.log.at(-1)).toMatchObject({ status: 401, verdict: 'invalid_client', why });
  expect(emulator.log.at(-1)).not.toHaveProperty('authenticatedKid');
});
