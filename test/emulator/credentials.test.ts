import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type RateLimit, WACHT_RATE_LIMITS } from './credentials.ts';
import { type Emulator, type EmulatorOptions, startEmulator } from './server.ts';
import { API_KEY, DEPLOYMENT, introspect, makeKey, manage } from './testing.ts';

const TOKEN = 'an-access-token';
const OTHER = '42';
const DEEP = { style: `/deployments/${DEPLOYMENT}` };
const FLAT = { style: '' };
const { pem } = makeKey('ES256');

let emulator: Emulator;
afterEach(() => emulator.close());

/** An app in each of two deployments, with keys of the real server's kinds. */
async function start(options?: EmulatorOptions): Promise<void> {
  emulator = await startEmulator(options);
  emulator.addApp({ deployment: DEPLOYMENT, slug: 'app' });
  emulator.addApp({ deployment: OTHER, slug: 'other' });
  emulator.setApiKey(DEPLOYMENT, API_KEY, 'write', 'api_key');
  emulator.setApiKey(DEPLOYMENT, TOKEN, 'write', 'access_token');
}

const refused = (status: number, message: string) => ({ status, body: { errors: [{ message, code: status }] } });

describe('which key is taken where', () => {
  beforeEach(() => start());

  test.each([
    ['an API key at the flat URLs', API_KEY, FLAT, { status: 200 }],
    ['an API key at the URLs with a deployment', API_KEY, DEEP, refused(404, 'Not found')],
    ['an access token at the URLs with a deployment', TOKEN, DEEP, { status: 200 }],
    ['an access token at the flat URLs', TOKEN, FLAT, refused(401, 'Authentication failed')],
    ['a deployment written with a zero in front', TOKEN, { style: `/deployments/0${DEPLOYMENT}` }, { status: 200 }],
  ])('%s', async (_what, key, style, reply) => {
    expect(await manage(emulator, 'GET', '', { key, ...style })).toMatchObject(reply);
  });

  test('who may only read is told so with an access token, not with an API key', async () => {
    const { id } = emulator.addClient({ deployment: DEPLOYMENT, app: 'app', public_key_pem: pem });
    const patch = { body: {}, key: 'reader' };
    emulator.setApiKey(DEPLOYMENT, 'reader', 'read', 'access_token');
    const permission = refused(403, 'Permission denied for this resource');
    expect(await manage(emulator, 'PATCH', `/app/clients/${id}`, { ...patch, ...DEEP })).toMatchObject(permission);
    emulator.setApiKey(DEPLOYMENT, 'reader', 'read', 'api_key');
    expect(await manage(emulator, 'PATCH', `/app/clients/${id}`, { ...patch, ...FLAT })).toMatchObject({ status: 200 });
  });
});

describe('how often', () => {
  let now: number;
  const limited = async (...rateLimits: RateLimit[]) => {
    now = Date.parse('2026-11-26T10:00:00Z');
    await start({ now: () => now, rateLimits });
  };
  const statusOf = async (path: string, options: object) => (await manage(emulator, 'GET', path, options)).status;
  const flat = (path = '', key = API_KEY) => statusOf(path, { key, ...FLAT });

  test('the real server’s limit, in its own words', async () => {
    await limited(...WACHT_RATE_LIMITS);
    const statuses = await Promise.all(Array.from({ length: 1000 }, () => flat()));
    expect(new Set(statuses)).toEqual(new Set([200]));
    const reply = await manage(emulator, 'GET', '', FLAT);
    expect(reply).toMatchObject(refused(429, 'Rate limit exceeded. Retry after 60000 seconds'));
    expect([...reply.headers.keys()].filter((name) => /retry|limit/.test(name))).toEqual([]);
  });

  test('a call stops counting when the window has passed, and one that was refused never counts', async () => {
    await limited({ max: 2, windowMs: 1000 });
    expect([await flat(), await flat(), await flat()]).toEqual([200, 200, 429]);
    now += 999;
    expect(await flat()).toBe(429);
    now += 1;
    expect([await flat(), await flat(), await flat()]).toEqual([200, 200, 429]);
  });

  test('all API keys of a deployment share a bucket; its access tokens and other deployments have others', async () => {
    await limited({ max: 1, windowMs: 1000 });
    emulator.setApiKey(DEPLOYMENT, 'second', 'write', 'api_key');
    emulator.setApiKey(OTHER, 'other', 'write', 'api_key');
    expect([await flat(), await flat('', 'second')]).toEqual([200, 429]);
    expect([await statusOf('', { key: TOKEN, ...DEEP }), await flat('', 'other')]).toEqual([200, 200]);
  });

  test.each([
    ['an unknown path', () => statusOf('/app/nothing', FLAT), 404],
    ['an app that is not there', () => flat('/none/clients'), 404],
    ['the other URL style', () => statusOf('', { ...DEEP, key: API_KEY }), 404],
  ])('%s counts', async (_what, call, status) => {
    await limited({ max: 1, windowMs: 1000 });
    expect([await call(), await flat()]).toEqual([status, 429]);
  });

  test('a key that is refused does not count, nor does a missing permission', async () => {
    await limited({ max: 1, windowMs: 1000 });
    emulator.setApiKey(DEPLOYMENT, 'reader', 'read', 'access_token');
    const { status } = await manage(emulator, 'POST', '/app/clients', { key: 'reader', body: {}, ...DEEP });
    expect([await flat('', 'wrong'), status]).toEqual([401, 403]);
    expect([await statusOf('', { key: 'reader', ...DEEP }), await flat()]).toEqual([200, 200]);
  });

  test('by key: each path has a bucket of its own', async () => {
    await limited({ max: 1, windowMs: 1000, per: 'key' });
    expect([await flat(), await flat('/app/clients'), await flat()]).toEqual([200, 200, 429]);
  });

  test('of several limits, the shortest window is printed', async () => {
    await limited({ max: 1, windowMs: 60_000 }, { max: 1, windowMs: 1000 });
    await flat();
    const { body } = await manage(emulator, 'GET', '', FLAT);
    expect(body).toMatchObject({ errors: [{ message: 'Rate limit exceeded. Retry after 1000 seconds' }] });
  });

  test('sign-ins are not limited', async () => {
    await limited({ max: 0, windowMs: 1000 });
    expect(await flat()).toBe(429);
    expect(await introspect(emulator, 'app.example.com', 'oc_unknown', 'x')).toMatchObject({ status: 401 });
  });
});
