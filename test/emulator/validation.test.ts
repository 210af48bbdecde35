import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Emulator } from './server.ts';
import { API_KEY, DEPLOYMENT, makeKey, manage, replyOf, startTestEmulator } from './testing.ts';

const { pem } = makeKey('ES256');
let emulator: Emulator;

beforeAll(async () => {
  emulator = await startTestEmulator();
});
afterAll(() => emulator.close());

const JWKS = { keys: [{ kty: 'EC', crv: 'P-256', x: 'eA', y: 'eQ' }] };
const ONLY_PRIVATE_KEY_JWT = 'jwks_uri/jwks/public_key_pem are only allowed when client_auth_method is private_key_jwt';
const NO_SECRETS = 'jwks for private_key_jwt must contain public keys, not symmetric secrets';

describe('PATCH refuses with 400', () => {
  test.each<[what: string, body: object, message: string]>([
    [
      'two kinds of key material',
      { jwks: JWKS, public_key_pem: 'x' },
      'private_key_jwt accepts only one of jwks_uri, jwks, or public_key_pem per update',
    ],
    ['an empty set', { jwks: { keys: [] } }, 'jwks.keys must include at least one key'],
    ['a symmetric key', { jwks: { keys: [{ kty: 'oct', k: 'c2VjcmV0' }] } }, NO_SECRETS],
    ['a jwks_uri that is no URL', { jwks_uri: 'keys' }, 'jwks_uri must be a valid URL'],
    ['a jwks_uri without TLS', { jwks_uri: 'http://keys.example.com' }, 'jwks_uri must use https'],
    ['key material with another method', { client_auth_method: 'none', jwks: JWKS }, ONLY_PRIVATE_KEY_JWT],
    ['an unknown method', { client_auth_method: 'magic' }, 'unsupported client_auth_method: magic'],
    ['no grant', { grant_types: [] }, 'grant_types must include at least one grant'],
    ['a blank grant', { grant_types: [' '] }, 'grant_types must not contain empty values'],
    ['client_credentials', { grant_types: ['client_credentials'] }, 'client_credentials is disabled for now'],
    ['grants without a code', { grant_types: ['refresh_token'] }, 'authorization_code grant is required'],
    [
      'an unknown grant',
      { grant_types: ['password'] },
      'unsupported grant_type: password. supported values: authorization_code, refresh_token',
    ],
    ['no redirect', { redirect_uris: [] }, 'redirect_uris must include at least one URI for authorization_code'],
    ['a blank redirect', { redirect_uris: [''] }, 'redirect_uris must not contain empty values'],
    ['a redirect that is no URL', { redirect_uris: ['here'] }, 'redirect_uris must contain valid URLs'],
    ['a redirect to an app', { redirect_uris: ['app://x/y'] }, 'redirect_uris must use http or https'],
    ['a fragment', { redirect_uris: ['https://x.example/#a'] }, 'redirect_uris must not include fragments'],
  ])('%s', async (_what, body, message) => {
    const before = emulator.addClient({ deployment: DEPLOYMENT, app: 'pem-app', public_key_pem: pem });
    const reply = await manage(emulator, 'PATCH', `/pem-app/clients/${before.id}`, { body });
    expect(reply).toMatchObject({ status: 400, body: { errors: [{ message, code: 400 }] } });
    expect(emulator.client(DEPLOYMENT, 'pem-app', before.id)).toBe(before);
  });

  test.each([
    ['key material for a client with a secret', { public_key_pem: 'x' }, ONLY_PRIVATE_KEY_JWT],
    [
      'a change to private_key_jwt without a key',
      { client_auth_method: 'private_key_jwt' },
      'private_key_jwt requires existing or new key material',
    ],
  ])('%s', async (_what, body, message) => {
    const client_auth_method = 'client_secret_basic';
    const { id } = emulator.addClient({ deployment: DEPLOYMENT, app: 'pem-app', client_auth_method });
    const reply = await manage(emulator, 'PATCH', `/pem-app/clients/${id}`, { body });
    expect(reply).toMatchObject({ status: 400, body: { errors: [{ message, code: 400 }] } });
  });
});

describe('POST refuses with 400', () => {
  const valid = {
    client_auth_method: 'private_key_jwt',
    grant_types: ['authorization_code'],
    redirect_uris: ['https://client.example.com/callback'],
  };
  const exactlyOne = 'private_key_jwt requires exactly one of jwks_uri, jwks, or public_key_pem';

  test.each<[what: string, body: object, message: string]>([
    ['no key material', valid, exactlyOne],
    ['two kinds of it', { ...valid, jwks: JWKS, jwks_uri: 'https://keys.example.com' }, exactlyOne],
    ['a symmetric key', { ...valid, jwks: { keys: [{ kty: 'oct', k: 'c2VjcmV0' }] } }, NO_SECRETS],
    ['key material with another method', { ...valid, client_auth_method: 'none', jwks: JWKS }, ONLY_PRIVATE_KEY_JWT],
    ['no grants', { ...valid, jwks: JWKS, grant_types: [] }, 'grant_types must include at least one grant'],
    ['a blank method', { ...valid, client_auth_method: '' }, 'unsupported client_auth_method: '],
    ['a page that is no URL', { ...valid, jwks: JWKS, tos_uri: 'terms' }, 'tos_uri must be a valid URL'],
    ['a page of an app', { ...valid, jwks: JWKS, logo_uri: 'app://x' }, 'logo_uri must use http or https'],
    ['a blank jwks_uri beside a set', { ...valid, jwks: JWKS, jwks_uri: ' ' }, 'jwks_uri must be a valid URL'],
    [
      'a fragment to log out to',
      { ...valid, jwks: JWKS, post_logout_redirect_uris: ['https://x.example/#a'] },
      'post_logout_redirect_uris must not include fragments',
    ],
    ['a format of tokens', { ...valid, access_token_format: 'paper' }, "access_token_format must be 'opaque' or 'jwt'"],
    [
      'no redirect',
      { ...valid, jwks: JWKS, redirect_uris: [] },
      'redirect_uris must include at least one URI for authorization_code',
    ],
  ])('%s', async (_what, body, message) => {
    const reply = await manage(emulator, 'POST', '/pem-app/clients', { body });
    expect(reply).toMatchObject({ status: 400, body: { errors: [{ message, code: 400 }] } });
  });
});

describe('what is not there answers 404', () => {
  test.each([
    ['an app', 'GET', '/no-app/clients', 'OAuth app not found'],
    ['a client', 'PATCH', '/pem-app/clients/12', 'OAuth client not found'],
    ['a client to deactivate', 'DELETE', '/pem-app/clients/12', 'OAuth client not found'],
  ])('%s', async (_what, method, path, message) => {
    const reply = await manage(emulator, method, path, method === 'PATCH' ? { body: {} } : {});
    expect(reply).toMatchObject({ status: 404, body: { errors: [{ message, code: 404 }] } });
  });

  test('a client of another app, and an inactive one', async () => {
    const { id } = emulator.addClient({ deployment: DEPLOYMENT, app: 'pem-app', public_key_pem: pem });
    expect(await manage(emulator, 'PATCH', `/kid-app/clients/${id}`, { body: {} })).toMatchObject({ status: 404 });
    expect(await manage(emulator, 'DELETE', `/pem-app/clients/${id}`)).toMatchObject({ status: 204, body: '' });
    expect(await manage(emulator, 'PATCH', `/pem-app/clients/${id}`, { body: {} })).toMatchObject({
      status: 404,
      body: { errors: [{ message: 'OAuth client not found or inactive', code: 404 }] },
    });
    expect(await manage(emulator, 'DELETE', `/pem-app/clients/${id}`)).toMatchObject({ status: 404 });
  });
});

describe('what cannot be read', () => {
  test.each([
    ['a JWK without kty', { jwks: { keys: [{ kid: 'a' }] } }],
    ['keys that are no list', { jwks: { keys: {} } }],
    ['a number for a string', { token_endpoint_auth_signing_alg: 256 }],
    ['a string for a list', { grant_types: 'authorization_code' }],
    ['a fraction for a number', { access_token_ttl_seconds: 60.5 }],
    ['a number of more than 32 bits', { access_token_ttl_seconds: 2 ** 31 }],
    ['a list for a body', []],
  ])('422 for %s, whoever the client is', async (_what, body) => {
    const reply = await manage(emulator, 'PATCH', '/no-app/clients/12', { body });
    expect(reply).toMatchObject({ status: 422, body: { errors: [{ message: 'Invalid request payload', code: 422 }] } });
  });

  test('400 for an id that is no 64-bit integer', async () => {
    const reply = await manage(emulator, 'PATCH', '/pem-app/clients/oc_abc', { body: {} });
    expect(reply).toMatchObject({ status: 400, body: { errors: [{ message: 'Bad request', code: 400 }] } });
  });

  test.each([
    [400, 'application/json', '{'],
    [415, 'text/plain', '{}'],
    [413, 'application/json', JSON.stringify({ client_name: 'x'.repeat(3 << 20) })],
  ])('%i for a body that cannot be read as %s', async (status, type, body) => {
    const response = await fetch(`${emulator.url}/oauth/apps/pem-app/clients/12`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': type },
      body,
    });
    expect((await replyOf(response)).status).toBe(status);
  });
});
