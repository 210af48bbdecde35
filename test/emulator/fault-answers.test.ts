import { describe, expect, test } from 'vitest';
import { setUpRenaming } from './renaming.ts';
import { HOSTS, introspect, manage } from './testing.ts';

const setUp = setUpRenaming();
const { rename, storedName } = setUp;

describe('a status', () => {
  test.each([
    [400, 'before', 'Bad request', 'old'],
    [401, 'before', 'Authentication failed', 'old'],
    [403, 'before', 'Permission denied for this resource', 'old'],
    [409, 'before', 'Resource already exists', 'old'],
    [500, 'before', 'Something went wrong', 'old'],
    [503, 'after', 'Something went wrong', 'new'],
  ] as const)('%i %s applying', async (status, when, message, name) => {
    const fault = setUp.emulator.faults.add({ kind: 'status', status, when });
    expect(await rename()).toMatchObject({ status, body: { errors: [{ message, code: status }] } });
    expect([storedName(), fault.fired, setUp.emulator.log.at(-1)?.status]).toEqual([name, 1, status]);
    expect(await rename()).toMatchObject({ status: 200 });
  });

  test.each([
    ['without Retry-After, like the platform', {}, null, 'Rate limit exceeded. Retry after 60000 seconds'],
    ['with Retry-After, like its reference', { retryAfter: 7 }, '7', 'Rate limit exceeded. Retry after 60000 seconds'],
    ['with neither', { message: 'Slow down' }, null, 'Slow down'],
  ])('429 %s', async (_what, how, retryAfter, message) => {
    setUp.emulator.faults.add({ kind: 'status', status: 429, ...how });
    const reply = await rename();
    expect(reply).toMatchObject({ status: 429, body: { errors: [{ message, code: 429 }] } });
    expect(reply.headers.get('retry-after')).toBe(retryAfter);
    expect(storedName()).toBe('old');
  });

  test.each([
    [502, 'Bad Gateway'],
    [504, 'Gateway Timeout'],
  ])('%i comes from the proxy, as a page', async (status, title) => {
    setUp.emulator.faults.add({ kind: 'status', status });
    const reply = await rename();
    expect(reply).toMatchObject({ status, body: expect.stringContaining(`<h1>${status} ${title}</h1>`) });
    expect(reply.headers.get('content-type')).toBe('text/html');
  });

  test('a list read fails', async () => {
    setUp.emulator.faults.add({ kind: 'status', status: 500, match: { method: 'GET', path: /\/clients$/ } });
    expect(await manage(setUp.emulator, 'GET', '')).toMatchObject({ status: 200 });
    expect(await manage(setUp.emulator, 'GET', '/pem-app/clients')).toMatchObject({ status: 500 });
  });

  test('an OAuth endpoint fails in its own words', async () => {
    setUp.emulator.faults.add({ kind: 'status', status: 503, match: { client: setUp.client.client_id } });
    expect(await introspect(setUp.emulator, HOSTS['pem-app'], setUp.client.client_id, 'x')).toMatchObject({
      status: 503,
      body: { error: 'server_error' },
    });
  });
});

describe('as the real server', () => {
  test.each([
    [{}, 60_000],
    [{ windowMs: 1_000 }, 1_000],
  ])('too many calls: %j', async (how, printed) => {
    setUp.emulator.faults.add({ kind: 'rate_limited', ...how });
    const reply = await rename();
    const message = `Rate limit exceeded. Retry after ${printed} seconds`;
    expect(reply).toMatchObject({ status: 429, body: { errors: [{ message, code: 429 }] } });
    expect(reply.headers.get('retry-after')).toBeNull();
    expect(storedName()).toBe('old');
  });

  test('a gateway that is away refuses every key, and lets clients sign in', async () => {
    setUp.emulator.faults.add({ kind: 'gateway_away', times: Number.POSITIVE_INFINITY });
    const away = { status: 401, body: { errors: [{ message: 'Authentication failed', code: 401 }] } };
    expect(await rename()).toMatchObject(away);
    expect(await manage(setUp.emulator, 'GET', '')).toMatchObject(away);
    expect((await introspect(setUp.emulator, HOSTS['pem-app'], setUp.client.client_id, 'x')).status).toBe(400);
    setUp.emulator.faults.clear();
    expect((await rename()).status).toBe(200);
  });

  test.each([
    ['invalid_client', 401, { error: 'invalid_client' }],
    ['invalid_signature', 400, { error_description: 'Invalid token: InvalidSignature' }],
    ['invalid_algorithm', 400, { error_description: 'Invalid token: InvalidAlgorithm' }],
    ['invalid_token', 400, { error_description: 'Invalid token: InvalidToken' }],
    ['expired', 400, { error_description: 'Invalid token: ExpiredSignature' }],
    ['json_error', 400, { error_description: expect.stringMatching(/^Invalid token: JSON error: /) }],
    ['base64_error', 400, { error_description: expect.stringMatching(/^Invalid token: Base64 error: /) }],
    ['unsupported_algorithm', 400, { error_description: 'Unsupported algorithm: ES512' }],
    ['no_pem', 400, { error_description: 'private_key_jwt requires a registered PEM key in jwks' }],
    ['server_error', 500, { error: 'server_error' }],
  ] as const)('a sign-in is refused: %s', async (reason, status, body) => {
    const fault = setUp.emulator.faults.add({ kind: 'sign_in_refused', reason });
    expect(await manage(setUp.emulator, 'GET', '')).toMatchObject({ status: 200 });
    const reply = await introspect(setUp.emulator, HOSTS['pem-app'], setUp.client.client_id, 'x');
    expect(reply).toMatchObject({ status, body });
    expect(fault.fired).toBe(1);
  });
});

describe('how the answer goes out', () => {
  test('another page, before or after applying', async () => {
    setUp.emulator.faults.add({ kind: 'page', status: 503, body: '' });
    expect(await rename()).toMatchObject({ status: 503, body: '' });
    expect(storedName()).toBe('old');
    const body = '{"errors":[{"message":"no","code":500}]}';
    setUp.emulator.faults.add({ kind: 'page', status: 200, body, type: 'application/json', when: 'after' });
    expect(await rename()).toMatchObject({ status: 200, body: { errors: [{ message: 'no' }] } });
    expect(storedName()).toBe('new');
  });

  test('cut off in the middle', async () => {
    setUp.emulator.faults.add({ kind: 'cut' });
    await expect(rename()).rejects.toThrow('terminated');
    expect(storedName()).toBe('new');
    expect(setUp.emulator.log.at(-1)?.status).toBe(200);
  });

  test('compressed, which nobody asked for', async () => {
    setUp.emulator.faults.add({ kind: 'gzip' });
    const reply = await rename();
    expect(reply.headers.get('content-encoding')).toBe('gzip');
    expect(reply).toMatchObject({ status: 200, body: { client_name: 'new' } });
  });
});
