import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { StoredClient } from './clients.ts';
import type { Emulator } from './server.ts';
import {
  DEPLOYMENT,
  goodClaims,
  HOSTS,
  introspect,
  makeKey,
  sign,
  startTestEmulator,
  type TestKey,
} from './testing.ts';

const HOST = HOSTS['kid-app'];
const published: { status: number; body: unknown; requests: string[] } = { status: 200, body: null, requests: [] };
const keyServer = createServer((request, response) => {
  published.requests.push(request.url ?? '');
  const status = request.url === '/moved' ? 200 : published.status;
  response.writeHead(status, { 'content-type': 'application/jwk-set+json', location: '/moved' });
  response.end(JSON.stringify(published.body));
});
const [inline, hosted] = [makeKey('EdDSA'), makeKey('EdDSA')];

let emulator: Emulator;
let client: StoredClient;

beforeAll(async () => {
  keyServer.listen(0, '127.0.0.1');
  await once(keyServer, 'listening');
  const address = keyServer.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  emulator = await startTestEmulator({ resolve: { 'keys.example.com': `http://127.0.0.1:${port}` } });
  client = emulator.addClient({ deployment: DEPLOYMENT, app: 'kid-app', jwks: { keys: [inline.jwk] } });
  emulator.edit(DEPLOYMENT, 'kid-app', client.id, { jwks_uri: 'https://keys.example.com/jwks/one?v=1' });
});
beforeEach(() => {
  Object.assign(published, { status: 200, body: { keys: [hosted.jwk] }, requests: [] });
});
afterAll(async () => {
  await emulator.close();
  keyServer.closeAllConnections();
  keyServer.close();
});

async function login(key: TestKey) {
  const assertion = await sign(key, goodClaims(client.client_id, HOST, '/oauth/introspect'), { kid: key.kid });
  return introspect(emulator, HOST, client.client_id, assertion);
}

test('the set at jwks_uri counts, and the inline one no longer does', async () => {
  expect(await login(hosted)).toMatchObject({ status: 200, body: { active: false } });
  expect(await login(inline)).toMatchObject({
    status: 400,
    body: { error_description: 'Invalid token: InvalidSignature' },
  });
  expect(published.requests).toEqual(['/jwks/one?v=1', '/jwks/one?v=1']);
});

test('what the URL shows now is what counts', async () => {
  expect(await login(hosted)).toMatchObject({ status: 200 });
  published.body = { keys: [inline.jwk] };
  expect(await login(hosted)).toMatchObject({ status: 400 });
});

test.each([
  ['an error', { status: 500 }],
  ['a redirect', { status: 302 }],
  ['no set', { body: { keys: 'none' } }],
])('%s at the URL refuses the login', async (_what, change) => {
  Object.assign(published, change);
  expect(await login(hosted)).toMatchObject({
    status: 400,
    body: { error: 'invalid_request', error_description: 'jwks_uri could not be fetched' },
  });
  expect(emulator.log.at(-1)).toMatchObject({ verdict: 'invalid_request', why: expect.any(String) });
});
