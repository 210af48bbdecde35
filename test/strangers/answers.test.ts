/**
 * Whatever a service answers: each adapter ends in time, says what happened in one plain line, repeats no secret, believes nothing that was not done, and works
 * again as soon as the service does.
 */
import { createServer } from 'node:http';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { listening } from '../support/listening.ts';
import { findNeedles } from '../support/secrets.ts';
import { ADAPTERS, type Adapter } from './adapters.ts';
import { drip, type Hostile, pour } from './front.ts';

// Where the AWS SDK looks first: it asks no other machine then.
beforeAll(() => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
});
afterAll(() => void vi.unstubAllEnvs());

/** In ms; for answers that come, and for those that never end. */
const [PATIENT, BRIEF] = [20_000, 600];

const json =
  (status: number, body: unknown): Hostile =>
  (response) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

const raw =
  (status: number, body: string): Hostile =>
  (response) =>
    void response.writeHead(status, { 'content-type': 'text/html' }).end(body);

/** As each of the services says that something is wrong. */
const errorOf = (text: unknown) => ({ errors: [text], kind: 'Status', message: text, __type: 'OddException' });

const echo =
  (status: number): Hostile =>
  (response, asked) =>
    json(status, errorOf(asked))(response, asked);

const NULLS = { data: null, auth: null, metadata: null, spec: null, Name: null, Tags: null, VersionIdsToStages: null };
const ODD = { toString: 1, valueOf: 1 };

const ANSWERS: readonly (readonly [string, Hostile])[] = [
  ['a page with 200', raw(200, '<html><title>Sign in to the network</title></html>')],
  ['a page with 404', raw(404, '<html><title>nginx</title></html>')],
  ['a page with 503', raw(503, '<html><title>Bad gateway</title></html>')],
  ['nothing with 200', raw(200, '')],
  ['nothing with 204', (response) => void response.writeHead(204).end()],
  ['null', json(200, null)],
  ['a list', json(200, [])],
  ['an empty object', json(200, {})],
  ['members that are null', json(200, NULLS)],
  [
    'members of members that are null',
    json(200, { ...NULLS, data: NULLS, auth: { client_token: null }, metadata: {} }),
  ],
  [
    'members of odd kinds',
    json(200, {
      ...{ data: { ...ODD, data: ODD, metadata: { version: -1 }, type: ODD, ciphertext: ODD, ttl: -1 } },
      ...{ auth: { client_token: 'a token\nX-Injected: yes', lease_duration: 'long' }, metadata: { name: ODD } },
      ...{ Name: ODD, Tags: [null, ODD], VersionIdsToStages: { a: null, b: ODD }, CiphertextBlob: ODD, Plaintext: ODD },
    }),
  ],
  ['what is nested without end', raw(200, '['.repeat(1_000_000))],
  ['half of an object', raw(200, '{"data":{"version":1')],
  ['errors of odd kinds', json(400, { errors: [ODD, null, 7], message: ODD, __type: ODD })],
  ['a long text with line ends as an error', json(400, errorOf('no\r\n\u202Ereally\u0000 '.repeat(9_000)))],
  ['what it was sent, as an error', echo(400)],
  ['what it was sent, as a refusal', echo(403)],
  ['what it was sent, as a failure', echo(500)],
  [
    'what it was sent, as an encoding',
    (response, asked) => {
      const encoding = asked.replaceAll(/[^\x21-\x7e]/g, '').slice(0, 4_000);
      response.writeHead(200, { 'content-encoding': encoding }).end('{}');
    },
  ],
  [
    'no whole answer',
    (response) => void response.writeHead(200, { 'content-length': 100 }).write('{"data":', () => response.destroy()),
  ],
  ['no answer', (response) => void response.destroy()],
];

/** One line that says something, with none of the secrets, and no slip of the language. */
function expectPlain({ needles, front }: Adapter, error: unknown, what: string): void {
  const { code, message } = error as { readonly code: string; readonly message: string }; // a RekeydError
  expect(code, `${what}: ${message}`).toMatch(/^(sink_failed|kms_unavailable)$/);
  expect(message, what).toMatch(/^[^\p{C}]{20,1500}$/u);
  expect(message, what).not.toMatch(
    /undefined|\[object|Cannot (read|convert)|not a function|is not iterable|TypeError/,
  );
  expect(findNeedles(needles, Buffer.from(message)), what).toEqual([]);
  for (const secret of front.secrets) expect(message, what).not.toContain(secret);
}

/** Null: the work was done. */
const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

const NAMES = Object.keys(ADAPTERS);

async function adapterOf(name: string, timeoutMs: number): Promise<Adapter> {
  const adapter = await ADAPTERS[name]?.(timeoutMs);
  if (adapter === undefined) throw new Error(`there is no ${name}`);
  return adapter;
}

/** The first calls are those that differ: logging in, looking, reading, writing. */
const FIRST_CALLS = 4;

test.each(NAMES)('%s: from one call on, any answer is told, believed in nothing, and forgotten', async (name) => {
  for (const [what, hostile] of ANSWERS) {
    for (let spares = 0; spares < FIRST_CALLS; spares += 1) {
      const adapter = await adapterOf(name, PATIENT);
      const { front } = adapter;
      Object.assign(front, { hostile, spares });
      const error = await failureOf(adapter.work());
      if (front.met === 0) break; // all of the work was done before
      const where = `${name}: ${what} from call ${spares} on`;
      expect(error, `${where} was taken for a success`).not.toBeNull();
      expectPlain(adapter, error, where);
      front.hostile = null;
      await adapter.work();
    }
  }
});

test.each(NAMES)('%s: one call alone that is answered so makes no work done that is not', async (name) => {
  for (const [what, hostile] of ANSWERS) {
    for (let spares = 0; ; spares += 1) {
      const adapter = await adapterOf(name, PATIENT);
      Object.assign(adapter.front, { hostile, spares, lies: 1 });
      // Where it is done, it has looked whether the work is there.
      const error = await failureOf(adapter.work());
      if (adapter.front.met === 0) break;
      if (error !== null) expectPlain(adapter, error, `${name}: ${what} at call ${spares}`);
    }
  }
});

/** Those that end by a bound of ours. */
const ENDLESS: readonly (readonly [string, Hostile])[] = [
  ['silence', () => {}],
  ['a body that never begins', (response) => void response.writeHead(200).flushHeaders()],
  ['a body that never ends', (response) => drip(response.writeHead(200))],
];

test.each(ENDLESS)('%s ends with the time for a call', async (what, hostile) => {
  await Promise.all(
    NAMES.map(async (name) => {
      const adapter = await adapterOf(name, BRIEF);
      adapter.front.hostile = hostile;
      expectPlain(adapter, await failureOf(adapter.work()), `${name}: ${what}`);
    }),
  );
});

test('a body of a GiB is cut off', async () => {
  for (const name of NAMES) {
    const adapter = await adapterOf(name, PATIENT);
    const sent = { bytes: 0 };
    adapter.front.hostile = (response) => pour(response.writeHead(200), sent);
    expectPlain(adapter, await failureOf(adapter.work()), name);
    // Some more than a cap is under way in buffers. The SDK of AWS asks three times.
    expect(sent.bytes, name).toBeLessThan(64 * 1024 ** 2);
  }
});

test.each([301, 302, 307, 308])('a redirect (%s) is not followed, with what was to be sent', async (status) => {
  let followed = 0;
  const elsewhere = createServer((_, response) => {
    followed += 1;
    response.end('{}');
  });
  const location = `http://127.0.0.1:${await listening(elsewhere)}/`;
  for (const name of NAMES) {
    const adapter = await adapterOf(name, PATIENT);
    adapter.front.hostile = (response) => void response.writeHead(status, { location }).end();
    const error = await failureOf(adapter.work());
    expectPlain(adapter, error, name);
    if (!name.startsWith('aws'))
      expect(error).toMatchObject({ message: expect.stringContaining('follows no redirect') });
  }
  expect(followed).toBe(0);
});
