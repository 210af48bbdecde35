import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StoredClient } from './clients.ts';
import type { Emulator } from './server.ts';
import {
  DEPLOYMENT,
  goodClaims,
  HOSTS,
  introspect,
  makeKey,
  makePair,
  manage,
  sign,
  startTestEmulator,
  type TestKey,
  withPem,
} from './testing.ts';

const NOW = Date.parse('2026-11-01T12:00:00.500Z');
const SECONDS = Math.floor(NOW / 1000);
const PATH = '/oauth/introspect';

const rsa = makePair('RS256');
const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const OTHER_ALGORITHMS = ['ES256', 'ES384', 'ES512', 'EdDSA'];
const keys = new Map([
  ...RSA_ALGORITHMS.map((alg) => [alg, makeKey(alg, rsa)] as const),
  ...OTHER_ALGORITHMS.map((alg) => [alg, makeKey(alg)] as const),
]);

let emulator: Emulator;

beforeAll(async () => {
  emulator = await startTestEmulator({ now: () => NOW });
});
afterAll(() => emulator.close());

function keyFor(alg: string): TestKey {
  const key = keys.get(alg);
  if (key === undefined) throw new Error(`no key for ${alg}`);
  return key;
}

type AppSlug = keyof typeof HOSTS;

function newClient(app: AppSlug, members: { jwks?: unknown; public_key_pem?: string; alg?: string }): StoredClient {
  return emulator.addClient({ deployment: DEPLOYMENT, app, ...members });
}

async function login(app: AppSlug, client: StoredClient, key: TestKey, header = {}, claims = {}) {
  const good = goodClaims(client.client_id, HOSTS[app], PATH, SECONDS);
  const assertion = await sign(key, { ...good, ...claims }, header);
  return introspect(emulator, HOSTS[app], client.client_id, assertion);
}

const ACCEPTED = { status: 200, body: { active: false } };
const INVALID_CLIENT = { status: 401, body: { error: 'invalid_client' } };
const invalidToken = (kind: string) => ({
  status: 400,
  body: { error: 'invalid_request', error_description: `Invalid token: ${kind}` },
});
const INVALID_SIGNATURE = invalidToken('InvalidSignature');

describe('first_pem', () => {
  test.each([
    ['RS256', ACCEPTED],
    ['RS384', ACCEPTED],
    ['RS512', ACCEPTED],
    ['ES256', ACCEPTED],
    ['ES384', ACCEPTED],
    ['ES512', INVALID_SIGNATURE],
    ['PS256', INVALID_SIGNATURE],
    ['PS512', INVALID_SIGNATURE],
    ['EdDSA', INVALID_SIGNATURE],
  ])('%s', async (alg, reply) => {
    const client = newClient('pem-app', { public_key_pem: keyFor(alg).pem, alg });
    expect(await login('pem-app', client, keyFor(alg))).toMatchObject(reply);
  });

  test('without a registered alg it is RS256', async () => {
    const client = newClient('pem-app', { public_key_pem: keyFor('RS256').pem });
    expect(await login('pem-app', client, keyFor('RS256'))).toMatchObject(ACCEPTED);
  });

  test('takes the first entry with a PEM, whatever the kid says', async () => {
    const [first, second, plain] = [makeKey('ES256'), makeKey('ES256'), makeKey('ES256')];
    const blank = { ...plain.jwk, public_key_pem: ' ' };
    const jwks = { keys: [plain.jwk, blank, withPem(first), withPem(second)] };
    const client = newClient('pem-app', { jwks, alg: 'ES256' });
    expect(await login('pem-app', client, first, { kid: 'nobody' })).toMatchObject(ACCEPTED);
    expect(await login('pem-app', client, second, { kid: second.kid })).toMatchObject(INVALID_SIGNATURE);
    expect(await login('pem-app', client, plain, { kid: plain.kid })).toMatchObject(INVALID_SIGNATURE);
  });

  test('a plain JWK Set passes PATCH and then fails every login', async () => {
    const client = newClient('pem-app', { jwks: { keys: [keyFor('ES256').jwk] }, alg: 'ES256' });
    expect(await login('pem-app', client, keyFor('ES256'))).toMatchObject({
      status: 400,
      body: {
        error: 'invalid_request',
        error_description: 'private_key_jwt requires a registered PEM key in jwks',
      },
    });
  });

  test('a key and an alg of different families break the server', async () => {
    const client = newClient('pem-app', { public_key_pem: keyFor('ES256').pem, alg: 'RS256' });
    const reply = await login('pem-app', client, keyFor('RS256'));
    expect(reply).toMatchObject({ status: 500, body: { error: 'server_error' } });
  });

  test('an assertion of another alg than the registered one', async () => {
    const client = newClient('pem-app', { public_key_pem: keyFor('RS256').pem, alg: 'RS384' });
    expect(await login('pem-app', client, keyFor('RS256'))).toMatchObject(INVALID_SIGNATURE);
  });

  test('client_id has to be in the form', async () => {
    const client = newClient('pem-app', { public_key_pem: keyFor('ES256').pem, alg: 'ES256' });
    const assertion = await sign(keyFor('ES256'), goodClaims(client.client_id, HOSTS['pem-app'], PATH, SECONDS));
    expect(await introspect(emulator, HOSTS['pem-app'], undefined, assertion)).toMatchObject(INVALID_CLIENT);
    expect(await introspect(emulator, HOSTS['pem-app'], client.client_id, assertion)).toMatchObject(ACCEPTED);
  });
});

describe('jwks_kid', () => {
  test.each([...RSA_ALGORITHMS, ...OTHER_ALGORITHMS])('%s', async (alg) => {
    const client = newClient('kid-app', { jwks: { keys: [keyFor(alg).jwk] }, alg });
    expect(await login('kid-app', client, keyFor(alg), { kid: keyFor(alg).kid })).toMatchObject(ACCEPTED);
  });

  test('accepts every key of the set by its kid, and no other', async () => {
    const [first, second, stranger] = [makeKey('ES256'), makeKey('ES256'), makeKey('ES256')];
    const client = newClient('kid-app', { jwks: { keys: [first.jwk, second.jwk] }, alg: 'ES256' });
    expect(await login('kid-app', client, first, { kid: first.kid })).toMatchObject(ACCEPTED);
    expect(await login('kid-app', client, second, { kid: second.kid })).toMatchObject(ACCEPTED);
    for (const header of [{ kid: stranger.kid }, { kid: first.kid }, {}]) {
      expect(await login('kid-app', client, stranger, header)).toMatchObject(INVALID_SIGNATURE);
    }
  });

  test('an entry that is only a PEM is used when it is the only one', async () => {
    const key = keyFor('ES256');
    const alone = newClient('kid-app', { public_key_pem: key.pem, alg: 'ES256' });
    expect(await login('kid-app', alone, key, { kid: key.kid })).toMatchObject(ACCEPTED);
    const jwks = { keys: [{ kty: 'PEM', public_key_pem: key.pem }, keyFor('ES384').jwk] };
    const among = newClient('kid-app', { jwks });
    expect(await login('kid-app', among, key, { kid: key.kid })).toMatchObject(INVALID_SIGNATURE);
  });

  test.each([
    ['the registered alg is another', { alg: 'PS256' }, {}],
    ['the JWK is for another alg', {}, { alg: 'PS256' }],
    ['the JWK is for encryption', {}, { use: 'enc' }],
    ['the JWK may not verify', {}, { key_ops: ['encrypt'] }],
  ])('refuses when %s', async (_what, client, jwk) => {
    const key = keyFor('RS256');
    const stored = newClient('kid-app', { jwks: { keys: [{ ...key.jwk, ...jwk }] }, ...client });
    expect(await login('kid-app', stored, key, { kid: key.kid })).toMatchObject(INVALID_SIGNATURE);
  });

  test('takes the client from the assertion when the form does not name it', async () => {
    const client = newClient('kid-app', { jwks: { keys: [keyFor('ES256').jwk] } });
    const claims = goodClaims(client.client_id, HOSTS['kid-app'], PATH, SECONDS);
    const assertion = await sign(keyFor('ES256'), claims, { kid: keyFor('ES256').kid });
    expect(await introspect(emulator, HOSTS['kid-app'], undefined, assertion)).toMatchObject(ACCEPTED);
  });
});

describe.each<AppSlug>(['pem-app', 'kid-app'])('claims at the %s', (app) => {
  const aud = `https://${HOSTS[app]}${PATH}`;
  const key = keyFor('ES256');
  const kid = { kid: key.kid };
  const es256Client = () => newClient(app, { jwks: { keys: [withPem(key)] }, alg: 'ES256' });

  test.each([
    ['as they should be', {}, ACCEPTED],
    ['several audiences', { aud: ['https://elsewhere.example', aud] }, ACCEPTED],
    ['made by a clock 60 s ahead', { iat: SECONDS + 60 }, ACCEPTED],
    ['the longest life', { exp: SECONDS + 300 }, ACCEPTED],
    ['the longest life, by a clock 60 s ahead', { iat: SECONDS + 60, exp: SECONDS + 360 }, ACCEPTED],
    ['the longest life, over for 59 s', { iat: SECONDS - 359, exp: SECONDS - 59 }, ACCEPTED],
    ['another issuer', { iss: 'me' }, INVALID_CLIENT],
    ['another subject', { sub: 'me' }, INVALID_CLIENT],
    ['the issuer as audience', { aud: `https://${HOSTS[app]}` }, INVALID_CLIENT],
    ['another endpoint as audience', { aud: `https://${HOSTS[app]}/oauth/token` }, INVALID_CLIENT],
    ['a life of more than 300 s', { iat: SECONDS - 1, exp: SECONDS + 300 }, INVALID_CLIENT],
    ['an end more than 360 s ahead', { iat: SECONDS + 61, exp: SECONDS + 361 }, INVALID_CLIENT],
    ['expired for 60 s', { iat: SECONDS - 120, exp: SECONDS - 60 }, INVALID_CLIENT],
    ['made by a clock 61 s ahead', { iat: SECONDS + 61 }, INVALID_CLIENT],
    ['not valid yet', { nbf: SECONDS + 61 }, INVALID_CLIENT],
    ['no iat', { iat: undefined }, INVALID_CLIENT],
    ['no exp', { exp: undefined }, INVALID_CLIENT],
    ['no jti', { jti: undefined }, INVALID_CLIENT],
    ['a blank jti', { jti: ' ' }, INVALID_CLIENT],
  ])('%s', async (_what, claims, reply) => {
    expect(await login(app, es256Client(), key, kid, claims)).toMatchObject(reply);
  });

  test('a jti is accepted once, for each client', async () => {
    const client = es256Client();
    const jti = { jti: 'once' };
    expect(await login(app, client, key, kid, jti)).toMatchObject(ACCEPTED);
    expect(await login(app, client, key, kid, jti)).toMatchObject(INVALID_CLIENT);
    expect(await login(app, es256Client(), key, kid, jti)).toMatchObject(ACCEPTED);
  });

  test('a jti is not forgotten while its assertion is still taken', async () => {
    const client = es256Client();
    const jti = { iat: SECONDS - 119, exp: SECONDS - 59, jti: 'late' };
    expect(await login(app, client, key, kid, jti)).toMatchObject(ACCEPTED);
    expect(await login(app, client, key, kid, jti)).toMatchObject(INVALID_CLIENT);
  });

  test('unknown, inactive and secret-based clients are all invalid_client', async () => {
    const inactive = es256Client();
    await manage(emulator, 'DELETE', `/${app}/clients/${inactive.id}`);
    const unknown = { ...es256Client(), client_id: 'oc_unknown' };
    const basic = emulator.addClient({ deployment: DEPLOYMENT, app, client_auth_method: 'client_secret_basic' });
    for (const client of [inactive, unknown, basic]) {
      expect(await login(app, client, key, kid)).toMatchObject(INVALID_CLIENT);
    }
  });

  test('garbage is no token', async () => {
    const client = es256Client();
    for (const garbage of ['', 'a.b.c', 'e30.e30']) {
      const reply = await introspect(emulator, HOSTS[app], client.client_id, garbage);
      expect(reply).toMatchObject(invalidToken('InvalidToken'));
    }
  });
});
