/** Reports of leaked keys over HTTP: what they may do, and what they must not. */
import { createPublicKey, generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { makeReference } from '../../src/core/client.ts';
import { keyNames } from '../../src/keys/key-id.ts';
import { MOST_PARTS } from '../../src/leaks/find-keys.ts';
import type { LogEntry } from '../emulator/log.ts';
import { makeKey } from '../emulator/testing.ts';
import { caller, makeToken } from '../support/api.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { listening } from '../support/listening.ts';
import { until } from '../support/until.ts';

/** Upkeep reads lists, which would be counted with the calls of a report: it runs once, at the start. */
const HTTP = { http: { listen: '127.0.0.1:0' }, reconcile_every: '1h' };

async function served(fleet: Fleet): Promise<string> {
  const { url } = await fleet.start({ http: true });
  await until('the keys are noted', () => fleet.resources.store.areOwnersNoted());
  await until('upkeep has run', async () => (await fleet.queues.upkeep.getCompletedCount()) > 0);
  return url ?? '';
}

/** The API alone: upkeep of a worker calls the API of Wacht by itself, at any moment. */
async function servedAlone(fleet: Fleet): Promise<string> {
  const worker = await fleet.start();
  await until('the keys are noted', () => fleet.resources.store.areOwnersNoted());
  await worker.stop();
  return (await fleet.start({ http: true, worker: false })).url ?? '';
}

const pemOf = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();
const publicOf = (key: KeyObject) => createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();

/** What the fleet was asked for, and what its servers were. */
async function costOf(fleet: Fleet) {
  const { requests: queue } = fleet.queues;
  const requests = await queue.getJobs(['completed', 'failed', 'waiting', 'active', 'delayed', 'prioritized']);
  const entries = await fleet.audit();
  const calls: readonly LogEntry[] = fleet.emulator.log;
  return { requests: requests.length, entries: entries.length, calls: calls.length };
}

test('a report says whose a key is; who may rotate has it replaced, and the same report does nothing more', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const [mine, other] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const tokens = {
    all: await makeToken(fleet),
    reader: await makeToken(fleet, { name: 'reader', scopes: ['read'] }),
    narrow: await makeToken(fleet, { name: 'narrow', only: other.ref }),
  };
  const url = await servedAlone(fleet);
  const [call, reader, narrow] = [caller(url, tokens.all), caller(url, tokens.reader), caller(url, tokens.narrow)];
  const { id, thumbprint } = keyNames(mine.key.privateKey);
  const shown = { client: mine.ref, client_id: mine.clientId, state: 'active', published: true, reported: false };

  const names: readonly (readonly [unknown, string])[] = [
    [thumbprint, 'thumbprint'],
    [Buffer.from(id, 'base64url').toString('hex'), 'id'],
    [hash('sha256', thumbprint ?? '', 'hex'), 'thumbprint_sha256'],
    [mine.key.kid, 'kid'],
    [publicOf(mine.key.privateKey), 'key'],
  ];
  const quiet = await costOf(fleet);
  for (const [key, by] of names) {
    const answer = await call('/v1/leaks', { json: { key } });
    expect([answer.status, answer.body.keys]).toMatchObject([
      200,
      [{ private: false, clients: [{ ...shown, by, sign_in: null }] }],
    ]);
    expect(answer.body.keys[0].clients).toHaveLength(1);
  }
  expect(await costOf(fleet), 'a question costs nothing').toEqual(quiet);
  await fleet.start();

  const leak = { key: pemOf(mine.key.privateKey), rotate: true, reason: 'in a paste' };
  expect((await reader('/v1/leaks', { json: leak })).status).toBe(403);
  expect((await narrow('/v1/leaks', { json: leak })).body).toMatchObject({ keys: [{ clients: [] }], requests: [] });
  expect((await caller(url, '')('/v1/leaks', { json: leak })).status).toBe(401);
  expect(fleet.patches(mine)).toEqual([]);

  const [first, again] = await Promise.all([call('/v1/leaks', { json: leak }), call('/v1/leaks', { json: leak })]);
  expect([first.status, again.status]).toEqual([202, 202]);
  expect(first.body.requests).toEqual(again.body.requests);
  const [{ rotation }] = first.body.keys[0].clients;
  await fleet.reached(mine, rotation);
  expect((await fleet.record(mine)).former).toMatchObject([{ id, compromised: true }]);
  const before = await costOf(fleet);
  const late = await call('/v1/leaks', { json: leak });
  expect(late.body).toMatchObject({
    keys: [{ clients: [{ state: 'destroyed', left: 'it is destroyed already', request: null, sign_in: 'refused' }] }],
    requests: [],
  });
  const { calls: _, ...after } = await costOf(fleet);
  expect({ ...after, calls: before.calls }).toEqual(before);
  expect([fleet.patches(mine).length, fleet.patches(other).length]).toEqual([1, 0]);
  const asked = (await fleet.audit()).filter(({ type }) => type === 'api.called' || type === 'key.compromised');
  expect(asked).toMatchObject([
    { type: 'api.called', claimed_by: 'token:siem', reason: 'in a paste', data: { route: 'POST /v1/leaks' } },
    { type: 'key.compromised', client: mine.ref, reason: 'in a paste' },
  ]);
});

test('keys that are not ours cost no call of the API, however many come', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const mine = await fleet.managed(PEM_APP);
  const call = caller(await servedAlone(fleet), await makeToken(fleet));
  const before = await costOf(fleet);
  const nobody = () => pemOf(makeKey('ES256').privateKey);
  const wanted = { rotate: true, take_over: true };
  const some = await call('/v1/leaks', { json: { key: Array.from({ length: 50 }, nobody), ...wanted } });
  expect([some.status, some.body.keys.length, some.body.requests]).toEqual([200, 50, []]);
  expect(some.body.keys.every((key: { clients: unknown[] }) => key.clients.length === 0)).toBe(true);

  const thumbprints = Array.from({ length: 10_000 }, (_, index) => hash('sha256', `${index}`, 'base64url'));
  const flood = await call('/v1/leaks', { json: { report: [pemOf(mine.key.privateKey), ...thumbprints], ...wanted } });
  expect([flood.status, flood.body.detail]).toEqual([413, expect.stringContaining(`more than ${MOST_PARTS}`)]);
  const large = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: nobody().repeat(10_000) };
  expect((await call('/v1/leaks', large)).status).toBe(413);

  // Anybody who knows a public key can write anything beside it.
  const { d: _, ...members } = mine.key.privateKey.export({ format: 'jwk' });
  const made = { ...members, d: makeKey('ES256').privateKey.export({ format: 'jwk' }).d };
  const fake = await call('/v1/leaks', { json: { key: made } });
  expect(fake.body.keys).toMatchObject([{ private: false, clients: [{ client: mine.ref, sign_in: null }] }]);
  expect(await costOf(fleet)).toEqual(before);

  for (const [body, status, detail] of [
    ['', 422, 'no key in it'],
    ['nothing to see here', 422, 'no key in it'],
    [JSON.stringify({ key: 'x', rotat: true }), 400, 'a member that is not known'],
    [JSON.stringify({ key: 'x', rotate: 'yes' }), 400, 'rotate is wrong'],
    [JSON.stringify({ key: 'x', reason: 7 }), 400, 'reason is wrong'],
    [`{"key":"${keyNames(mine.key.privateKey).thumbprint}","__proto__":{"rotate":true}}`, 400, 'not known'],
    [`{"__proto__":{"key":"x","rotate":true}}`, 422, 'no key in it'],
    ['[]', 422, 'no key in it'],
    ['{"key":'.repeat(5_000), 422, 'no key in it'],
    [JSON.stringify({ key: 'x', reason: pemOf(mine.key.privateKey) }), 400, 'The reason holds a key'],
  ] as const) {
    const answer = await call('/v1/leaks', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    expect([answer.status, answer.body.detail]).toEqual([status, expect.stringContaining(detail)]);
  }
  expect(await costOf(fleet)).toEqual(before);
});

test('reports of much of a fleet pass the breaker only when a caller confirms them', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const [first, second] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const token = await makeToken(fleet);
  const call = caller(await served(fleet), token);
  // One key of both, as after a copy of a whole machine.
  const shared = { ...(await fleet.record(second)), keys: (await fleet.record(first)).keys };
  const held = await fleet.resources.store.claim(second.ref);
  const seen = {
    entries: [],
    carried: [],
    ended: [],
    seal: [],
    erase: [],
    dueAt: null,
    seen: 'x',
    open: false,
    durable: true,
  };
  await fleet.resources.store.commit({ ref: second.ref, expected: held, record: shared, ...seen });
  const leak = { key: publicOf(first.key.privateKey), rotate: true };
  const refused = await call('/v1/leaks', { json: leak });
  expect(refused.body.requests).toEqual([
    {
      request: expect.any(String),
      clients: 2,
      pending: false,
      error: expect.stringContaining('breaker in the config'),
    },
  ]);
  expect(refused.body.keys[0].clients).toMatchObject([{ rotation: null }, { rotation: null }]);
  expect((await call('/v1/leaks', { json: leak })).body.requests).toEqual(refused.body.requests);
  expect([...fleet.patches(first), ...fleet.patches(second)]).toEqual([]);
  const confirmed = await call('/v1/leaks', { json: { ...leak, confirm: true } });
  expect(confirmed.body.requests).toMatchObject([{ clients: 2, error: null }]);
  await fleet.reached(first, confirmed.body.keys[0].clients[0].rotation, 'active');
});

test('a report that the breaker held back is heard when it comes again and nothing stands in its way', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const client = await fleet.managed(PEM_APP);
  const call = caller(await served(fleet), await makeToken(fleet));
  const { store } = fleet.resources;
  const others = Array.from({ length: 20 }, (_, index) => makeReference(DEPLOYMENT, PEM_APP.slug, `${index}`));
  await store.noteReported(others, { ms: 3_600_000, most: 20 });
  const leak = { key: publicOf(client.key.privateKey), rotate: true };
  const refused = await call('/v1/leaks', { json: leak });
  expect(refused.body.requests).toMatchObject([{ error: expect.stringContaining('within an hour') }]);
  // As after that hour.
  const redis = new Redis(fleet.redis.socketPath);
  onTestFinished(() => redis.disconnect());
  await redis.del(store.keys.reported);
  const heard = await call('/v1/leaks', { json: leak });
  expect(heard.body.requests).toMatchObject([{ request: refused.body.requests[0].request, error: null }]);
  await fleet.reached(client, heard.body.keys[0].clients[0].rotation, 'active');
});

test('a report is answered while Redis is away, and taken when it is back', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const mine = await fleet.managed(PEM_APP);
  const token = await makeToken(fleet);
  const call = caller(await served(fleet), token);
  const leak = { key: pemOf(mine.key.privateKey), rotate: true };
  expect((await call('/v1/leaks', { json: { ...leak, rotate: false } })).status).toBe(200);
  fleet.redis.pause();
  const away = await call('/v1/leaks', { json: leak }).finally(fleet.redis.resume);
  expect(away.status).toBe(503);
  const { body } = await until('it answers again', async () => {
    const answer = await call('/v1/leaks', { json: leak });
    return answer.status === 202 && answer;
  });
  await fleet.reached(mine, body.keys[0].clients[0].rotation);
  expect(fleet.patches(mine)).toHaveLength(1);
});

test('the replacement of a leaked key does not wait for an issuer that hangs', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP, deployment: { timeout: '60s' } });
  const mine = await fleet.managed(PEM_APP);
  const call = caller(await served(fleet), await makeToken(fleet));
  const gate = Promise.withResolvers<void>();
  fleet.emulator.faults.add({
    ...{ kind: 'hold', until: gate.promise, when: 'before', match: { path: /introspect/ } },
    times: Number.POSITIVE_INFINITY,
  });
  onTestFinished(() => gate.resolve());
  const { status, body } = await call('/v1/leaks', { json: { key: pemOf(mine.key.privateKey), rotate: true } });
  const [{ rotation, ...one }] = body.keys[0].clients;
  const detail = expect.stringContaining('took too long'); // and not that of its own timeout
  expect([status, one]).toMatchObject([202, { client: mine.ref, sign_in: 'unknown', detail, left: null }]);
  gate.resolve();
  await fleet.reached(mine, rotation);
});

test('an application that signs with a key of its own is left alone, unless somebody says otherwise', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const found = await fleet.foreign(PEM_APP);
  const call = caller(await served(fleet), await makeToken(fleet));
  const leak = { key: pemOf(found.key.privateKey), rotate: true };
  // A report reads no list: no client is known to have this key yet.
  expect((await call('/v1/leaks', { json: leak })).body).toMatchObject({ keys: [{ clients: [] }], requests: [] });
  await fleet.request({ select: { app: '185019846023/pem-app' } });
  const left = await call('/v1/leaks', { json: leak });
  expect([left.status, left.body.keys]).toMatchObject([
    200,
    [
      {
        clients: [
          { client: found.ref, state: 'foreign', sign_in: 'accepted', left: expect.stringContaining('take_over') },
        ],
      },
    ],
  ]);
  expect(fleet.patches(found)).toEqual([]);
  const taken = await call('/v1/leaks', { json: { ...leak, take_over: true } });
  expect(taken.status).toBe(202);
  await fleet.reached(found, taken.body.keys[0].clients[0].rotation);
  expect((await call('/v1/leaks', { json: { ...leak, take_over: true } })).body).toMatchObject({
    keys: [{ clients: [{ state: 'destroyed', reported: true, sign_in: 'refused', left: 'it is destroyed already' }] }],
    requests: [],
  });
});

test('a scanner that signs needs no token; it has a key replaced whose private half it shows, and is told nothing', async () => {
  const scanner = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const listed = { key_identifier: 'k1', key: publicOf(scanner.privateKey), is_current: true };
  const keys = createServer((_, response) => response.end(JSON.stringify({ public_keys: [listed] })));
  const github = { keys_url: `http://127.0.0.1:${await listening(keys)}/keys`, rotate: true };
  const fleet = await startFleet({ apps: [PEM_APP], config: { ...HTTP, leaks: { github } } });
  const clients = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const [mine, known] = clients as [FleetClient, FleetClient];
  const call = caller(await served(fleet), '');

  const post = (report: unknown, key: KeyObject = scanner.privateKey) => {
    const body = JSON.stringify(report);
    const signature = sign('sha256', Buffer.from(body), key).toString('base64');
    const headers = { 'github-public-key-identifier': 'k1', 'github-public-key-signature': signature };
    return call('/v1/leaks', { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body });
  };
  const entry = (token: string) => ({
    token,
    type: 'rekeyd_key',
    url: 'https://github.com/octocat/x/blob/main/k.pem',
    source: 'content',
  });
  const report = [
    entry(pemOf(mine.key.privateKey)),
    entry(publicOf(known.key.privateKey)),
    entry(keyNames(known.key.privateKey).thumbprint ?? ''),
  ];

  expect((await post(report, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)).status).toBe(401);
  expect((await call('/v1/leaks', { json: report })).status).toBe(401);
  const many = Array.from({ length: 10_000 }, (_, index) => entry(hash('sha256', `${index}`, 'base64url')));
  // The first half fits into a body, the whole does not.
  expect((await post([...report, ...many.slice(0, 5_000)])).body.detail).toContain(`more than ${MOST_PARTS} keys`);
  expect((await post([...report, ...many])).status).toBe(413);
  expect(await fleet.queues.requests.getJobs()).toEqual([]);

  for (let count = 0; count < 3; count += 1) {
    const answer = await post(report);
    expect([answer.status, answer.body]).toEqual([200, { keys: [], requests: [] }]);
  }
  await until('it is replaced', async (saw) => saw((await fleet.record(mine)).former).length === 1);
  expect((await post(report)).status).toBe(200);
  expect((await fleet.queues.requests.getJobs()).map(({ data }) => data)).toMatchObject([
    {
      select: { clients: [mine.ref] },
      compromised: { kid: mine.key.kid },
      actor: 'scanner:github',
      reason: 'reported by github: https://github.com/octocat/x/blob/main/k.pem',
    },
  ]);
  expect([fleet.patches(mine).length, fleet.patches(known).length]).toEqual([1, 0]);
});

test('keys of a store that an older version wrote are found once they are noted', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const mine = await fleet.managed(PEM_APP);
  const { store } = fleet.resources;
  const redis = new Redis(fleet.redis.socketPath);
  onTestFinished(() => redis.disconnect());
  await redis.del(store.keys.owners);
  await redis.hdel(store.keys.record(mine.ref), 'marks');
  const { url } = await fleet.start({ http: true, worker: false });
  const token = await makeToken(fleet);
  const call = caller(url ?? '', token);
  const leak = { key: pemOf(mine.key.privateKey) };
  const early = await call('/v1/leaks', { json: leak });
  expect([early.status, early.headers.get('retry-after')]).toEqual([503, '60']);
  const noted = caller(await served(fleet), token);
  expect((await noted('/v1/leaks', { json: leak })).body.keys).toMatchObject([{ clients: [{ client: mine.ref }] }]);
});
