import { AuthenticationError, type OAuthClient, ValidationError, WachtClient } from '@wacht/backend';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Emulator } from './server.ts';
import { API_KEY, DEPLOYMENT, makeKey, manage, startTestEmulator, withPem } from './testing.ts';

const key = makeKey('ES256');
let emulator: Emulator;

beforeAll(async () => {
  // A clock that stands still: `updated_at` has to move all the same.
  emulator = await startTestEmulator({ now: () => Date.parse('2026-11-01T12:00:00Z') });
});
afterAll(() => emulator.close());

const CREATE = {
  client_auth_method: 'private_key_jwt',
  grant_types: ['authorization_code'],
  redirect_uris: ['https://client.example.com/callback'],
};

function newClient(members: Omit<Parameters<Emulator['addClient']>[0], 'deployment' | 'app'>) {
  return emulator.addClient({ deployment: DEPLOYMENT, app: 'pem-app', ...members });
}

describe.each([{ wrap: false }, { wrap: true }])('the platform’s own npm client, wrap: $wrap', ({ wrap }) => {
  let other: Emulator;
  let sdk: WachtClient;

  beforeAll(async () => {
    other = await startTestEmulator({ wrap });
    sdk = new WachtClient({ baseUrl: other.url, apiKey: API_KEY });
  });
  afterAll(() => other.close());

  test('lists the apps', async () => {
    const apps = await sdk.oauth.listOAuthApps();
    expect(apps.map(({ slug, fqdn, is_active }) => [slug, fqdn, is_active])).toEqual([
      ['kid-app', 'rfc.example.com', true],
      ['pem-app', 'auth.example.com', true],
      ['app', 'wacht.example.com', true],
    ]);
  });

  test('creates, lists, updates and deactivates a client', async () => {
    const created: OAuthClient = await sdk.oauth.createOAuthClient('pem-app', { ...CREATE, public_key_pem: key.pem });
    expect(created).toMatchObject({ client_auth_method: 'private_key_jwt', is_active: true });

    const updated = await sdk.oauth.updateOAuthClient('pem-app', created.id, {
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [{ kty: 'EC', ...key.jwk }] },
    });
    expect(updated).toMatchObject({
      id: created.id,
      jwks: { keys: [key.jwk] },
      token_endpoint_auth_signing_alg: 'ES256',
    });
    expect(await sdk.oauth.listOAuthClients('pem-app')).toEqual([updated]);

    await sdk.oauth.deactivateOAuthClient('pem-app', created.id);
    expect(await sdk.oauth.listOAuthClients('pem-app')).toMatchObject([{ id: created.id, is_active: false }]);
  });

  test('gets its error classes', async () => {
    const stranger = new WachtClient({ baseUrl: other.url, apiKey: 'wrong' });
    await expect(stranger.oauth.listOAuthApps()).rejects.toBeInstanceOf(AuthenticationError);
    await expect(sdk.oauth.createOAuthClient('pem-app', CREATE)).rejects.toBeInstanceOf(ValidationError);
  });
});

describe('API keys', () => {
  beforeAll(() => {
    emulator.setApiKey(DEPLOYMENT, 'read-only', 'read');
    emulator.setApiKey('42', 'of-another');
  });

  test.each([
    ['an unknown key', { key: 'wrong' }, 401, 'Authentication failed'],
    ['a read-only key that writes', { key: 'read-only' }, 403, 'Permission denied for this resource'],
    ['another deployment’s key', { key: 'of-another' }, 403, "You don't have permission to access this deployment"],
    ['a deployment that is not there', { style: '/deployments/7' }, 404, 'Deployment not found'],
  ])('%s is refused', async (_what, options, status, message) => {
    const reply = await manage(emulator, 'POST', '/pem-app/clients', { body: {}, ...options });
    expect(reply).toMatchObject({ status, body: { errors: [{ message, code: status }] } });
  });

  test('a request without a key is refused', async () => {
    const response = await fetch(`${emulator.url}/oauth/apps`);
    expect(response.status).toBe(401);
  });

  test('a revoked key is refused from then on', async () => {
    emulator.setApiKey(DEPLOYMENT, 'short-lived');
    expect(await manage(emulator, 'GET', '', { key: 'short-lived' })).toMatchObject({ status: 200 });
    emulator.revokeApiKey('short-lived');
    expect(await manage(emulator, 'GET', '', { key: 'short-lived' })).toMatchObject({ status: 401 });
  });

  test('with the flat URLs, the deployment follows from the key', async () => {
    const flat = await manage(emulator, 'GET', '', { style: '' });
    expect(flat.body).toEqual((await manage(emulator, 'GET', '')).body);
    expect(await manage(emulator, 'GET', '', { style: '', key: 'of-another' })).toMatchObject({ body: { apps: [] } });
  });
});

describe('what PATCH stores', () => {
  const patch = async (id: string, body: unknown) => {
    const reply = await manage(emulator, 'PATCH', `/pem-app/clients/${id}`, { body });
    expect(reply.status).toBe(200);
    return reply.body;
  };

  test('a PEM becomes the jwks, trimmed, with every other member null', async () => {
    const { id } = newClient({ jwks: { keys: [key.jwk] } });
    const pem = key.pem.trim();
    const stored = await patch(id, { public_key_pem: key.pem });
    const nulls = { kid: null, use: null, key_ops: null, alg: null, n: null, e: null, crv: null, x: null, y: null };
    const more = { k: null, x5u: null, x5c: null, x5t: null, 'x5t#S256': null };
    expect(stored).toMatchObject({ public_key_pem: pem });
    expect(stored).toHaveProperty('jwks', { keys: [{ kty: 'PEM', ...nulls, ...more, public_key_pem: pem }] });
  });

  test('a JWK keeps its public_key_pem and loses members that the server does not know', async () => {
    const { id } = newClient({ public_key_pem: key.pem });
    const stored = await patch(id, { jwks: { keys: [{ ...withPem(key), note: 'ours' }] } });
    expect(stored).toMatchObject({ public_key_pem: key.pem, jwks: { keys: [withPem(key)] } });
    expect(stored).not.toHaveProperty('jwks.keys.0.note');
  });

  test.each([
    ['null', { jwks: null, jwks_uri: null, public_key_pem: null, token_endpoint_auth_signing_alg: null }],
    ['blank', { jwks_uri: ' ', public_key_pem: '', token_endpoint_auth_signing_alg: '\n' }],
    ['absent', {}],
  ])('a member that is %s leaves the value as it is, and updated_at moves all the same', async (_what, body) => {
    const before = newClient({ jwks: { keys: [key.jwk] }, alg: 'ES256', client_name: 'ours' });
    const after = await patch(before.id, body);
    expect(after).toEqual({ ...before, updated_at: expect.any(String) });
    expect(emulator.client(DEPLOYMENT, 'pem-app', before.id).updated_at > before.updated_at).toBe(true);
  });

  test('a text that is blank is cleared', async () => {
    const before = newClient({ public_key_pem: key.pem, client_name: 'ours' });
    expect(await patch(before.id, { client_name: ' ' })).toMatchObject({ client_name: null });
  });

  test('a JWK keeps a blank public_key_pem, and the client shows it', async () => {
    const { id } = newClient({ public_key_pem: key.pem });
    const stored = await patch(id, { jwks: { keys: [{ ...key.jwk, public_key_pem: ' ' }] } });
    expect(stored).toMatchObject({ public_key_pem: ' ', jwks: { keys: [{ ...key.jwk, public_key_pem: ' ' }] } });
  });

  test('a jwks_uri once set stays beside what comes later', async () => {
    const { id } = newClient({ jwks_uri: 'https://keys.example.com/jwks.json' });
    const stored = await patch(id, { jwks: { keys: [key.jwk] } });
    expect(stored).toMatchObject({ jwks_uri: 'https://keys.example.com/jwks.json', jwks: { keys: [key.jwk] } });
  });

  test('the list shows the newest client first, with all that was stored', async () => {
    const [older, newer] = [newClient({ public_key_pem: key.pem }), newClient({ jwks: { keys: [key.jwk] } })];
    const { body } = await manage(emulator, 'GET', '/pem-app/clients');
    expect(body).toMatchObject({ clients: expect.any(Array) });
    expect(JSON.stringify(body)).toContain(JSON.stringify([newer, older]).slice(1, -1));
  });

  test('the last of two writers wins', async () => {
    const { id } = newClient({ public_key_pem: key.pem });
    await patch(id, { jwks: { keys: [key.jwk] } });
    emulator.edit(DEPLOYMENT, 'pem-app', id, { public_key_pem: key.pem });
    expect(emulator.client(DEPLOYMENT, 'pem-app', id)).toMatchObject({ jwks: { keys: [{ kty: 'PEM' }] } });
  });
});

test('ids do not survive a JavaScript number', () => {
  const ids = [1, 2, 3].map(() => newClient({ public_key_pem: key.pem }).id);
  expect(new Set(ids).size).toBe(3);
  expect(new Set(ids.map(Number)).size).toBeLessThan(3);
});

test('every request is in the log, with its body and without its key', async () => {
  const { id, client_id } = newClient({ public_key_pem: key.pem });
  await manage(emulator, 'PATCH', `/pem-app/clients/${id}`, { body: { client_name: 'renamed' } });
  const entry = emulator.log.findLast(({ client }) => client === id);
  expect(entry).toMatchObject({
    api: 'management',
    method: 'PATCH',
    deployment: DEPLOYMENT,
    app: 'pem-app',
    clientId: client_id,
    body: { client_name: 'renamed' },
    status: 200,
  });
  expect(JSON.stringify(emulator.log)).not.toContain(API_KEY);
});

test('a limited log forgets its older half', async () => {
  const small = await startTestEmulator({ logLimit: 2 });
  for (const path of ['/a/clients', '/b/clients', '/c/clients']) await manage(small, 'GET', path);
  expect(small.log.map(({ app }) => app)).toEqual(['b', 'c']);
  await small.close();
});

test('the Date header tells the server’s clock', async () => {
  const skewed = await startTestEmulator({ now: () => Date.parse('2030-01-02T03:04:05.678Z') });
  const { headers } = await manage(skewed, 'GET', '');
  expect(headers.get('date')).toBe('Wed, 02 Jan 2030 03:04:05 GMT');
  await skewed.close();
});
