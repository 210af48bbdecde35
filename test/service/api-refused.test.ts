/** Callers of the HTTP API who may not do what they ask for, and what is made of it. */
import { expect, onTestFinished, test } from 'vitest';
import { producerQueue } from '../../jobs/inboxes.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { bookOf, caller, makeToken } from '../support/api.ts';
import { type Fleet, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLive } from '../support/live-config.ts';
import { until } from '../support/until.ts';

async function start(options: Parameters<typeof startFleet>[0] = {}) {
  const fleet = await startFleet({ ...options, config: { http: { listen: '127.0.0.1:0' }, ...options.config } });
  const service = await fleet.start({ http: true });
  return { fleet, service, url: service.url ?? '' };
}

const refusedEntries = async (fleet: Fleet) => (await fleet.audit()).filter(({ type }) => type === 'api.refused');

const PROBLEM = { type: 'application/problem+json' };
const DRILL = { select: { all: true }, reason: 'a drill' };

test('a call without an accepted token is answered 401, and one whose token lacks the scope 403; both are audited', async () => {
  const { fleet, url } = await start();
  const ends = await makeToken(fleet, { name: 'ends' });
  const expired = await makeToken(fleet, { name: 'expired', lifeMs: 0 });
  const reader = await makeToken(fleet, { name: 'reader', scopes: ['read'] });
  const metrics = await makeToken(fleet, { name: 'metrics', scopes: ['metrics'] });
  for (const [what, value] of [
    ['none', ''],
    ['a wrong one', `rekeyd_${'A'.repeat(43)}`],
    ['half of one', ends.slice(0, 20)],
    ['one that has expired', expired],
  ]) {
    const answer = await caller(url, value ?? '')('/v1/clients');
    expect(answer, what).toMatchObject({ ...PROBLEM, status: 401 });
    expect(answer.headers.get('www-authenticate'), what).toMatch(/^Bearer realm="rekeyd"/);
  }
  for (const value of [reader, metrics]) {
    const answer = await caller(url, value)('/v1/rotations', { json: DRILL });
    expect(answer).toMatchObject({ ...PROBLEM, status: 403 });
    expect(answer.headers.get('www-authenticate')).toContain('error="insufficient_scope", scope="rotate"');
  }
  expect(await caller(url, ends)('/v1/clients')).toMatchObject({ status: 200 });
  await bookOf(fleet).revoke('ends', { actor: 'test', reason: 'it ends' });
  await until('the revoked token is refused', async () => (await caller(url, ends)('/v1/clients')).status === 401);
  expect((await refusedEntries(fleet)).map(({ data, claimed_by: by }) => [data.status, by])).toEqual([
    [401, undefined],
    [403, 'token:reader'],
    [403, 'token:metrics'],
  ]);
  expect((await fleet.audit()).filter(({ type }) => type === 'rotation.requested' || type === 'api.called')).toEqual(
    [],
  );
});

test('a flood of refused calls fills neither the log nor the audit log', async () => {
  const { fleet, url } = await start();
  const wrong = caller(url, `rekeyd_${'A'.repeat(43)}`);
  for (let round = 0; round < 20; round += 1) {
    await Promise.all(Array.from({ length: 20 }, () => wrong('/v1/clients')));
  }
  expect(await refusedEntries(fleet)).toHaveLength(1);
  expect(fleet.lines.filter((line) => line.includes('a call was refused'))).toHaveLength(1);
});

test('a token for one app sees that app, and asks for it alone', async () => {
  const { fleet, url } = await start({ apps: [PEM_APP, KID_APP] });
  const [own, other] = [await fleet.managed(PEM_APP), await fleet.managed(KID_APP)];
  const place = own.ref.slice(0, own.ref.lastIndexOf('/'));
  const elsewhere = other.ref.slice(0, other.ref.lastIndexOf('/'));
  const all = caller(url, await makeToken(fleet, { name: 'all' }));
  const forApp = caller(url, await makeToken(fleet, { name: 'for-app', only: place }));
  const forClient = caller(url, await makeToken(fleet, { name: 'for-client', only: own.ref }));
  const [{ id }] = (await all('/v1/rotations', { json: { ...DRILL, select: { clients: [other.ref] } } })).body
    .rotations;
  await fleet.reached(other, id);
  expect((await all('/v1/clients')).body.clients).toHaveLength(2);
  for (const one of [forApp, forClient]) {
    expect((await one('/v1/clients')).body.clients).toMatchObject([{ client: own.ref }]);
    expect((await one(`/v1/clients?app=${elsewhere}`)).body).toEqual({ clients: [], next: null });
    expect((await one(`/v1/clients/${other.ref}`)).status).toBe(404);
    expect((await one(`/v1/rotations/${id}`)).status).toBe(404);
    expect((await one(`/v1/rotations/${id}/events`)).status).toBe(404);
    const { entries } = (await one('/v1/audit?limit=1000')).body;
    expect(new Set(entries.map(({ client }: { client: string }) => client))).toEqual(new Set([own.ref]));
    for (const select of [
      { all: true },
      { policy: PEM_APP.slug },
      { app: elsewhere },
      { clients: [own.ref, other.ref] },
    ]) {
      const answer = await one('/v1/rotations', { json: { ...DRILL, select } });
      expect(answer, JSON.stringify(select)).toMatchObject({ ...PROBLEM, status: 403 });
    }
  }
  expect((await forClient('/v1/rotations', { json: { ...DRILL, select: { app: place } } })).status).toBe(403);
  const begun = await forApp('/v1/rotations', { json: { ...DRILL, select: { app: place } } });
  expect(begun).toMatchObject({ status: 202, body: { rotations: [{ client: own.ref }] } });
});

test('a list of tokens that was put back, or written by hand, makes none valid', async () => {
  const { fleet, url } = await start();
  const value = await makeToken(fleet, { name: 'ends' });
  const key = fleet.resources.store.keys.tokens;
  const raw = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'test' });
  onTestFinished(() => raw.disconnect());
  const before = String(await raw.get(key));
  expect((await caller(url, value)('/v1/clients')).status).toBe(200);
  await bookOf(fleet).revoke('ends', { actor: 'test', reason: 'it ends' });
  await until('it is refused', async () => (await caller(url, value)('/v1/clients')).status === 401);
  for (const list of [before, before.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')), '{"tokens":[]}']) {
    await raw.set(key, list);
    const refused = await until('the list is not trusted', async () => {
      const answer = await caller(url, value)('/v1/clients');
      return answer.status === 503 && answer;
    });
    expect(refused).toMatchObject(PROBLEM);
  }
});

test('who asks too often waits, and a reload sets another rate', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const listen = '127.0.0.1:0';
  const service = await startLive(fleet, { http: { listen, rate_limit: { max: 3, per: '1h' } } });
  const api = caller(service.url ?? '', await makeToken(fleet));
  const statuses = async () => [
    (await api('/v1/audit')).status,
    (await api('/v1/audit')).status,
    (await api('/v1/audit')).status,
    (await api('/v1/audit')).status,
  ];
  expect(await statuses()).toEqual([200, 200, 200, 429]);
  const refused = await api('/v1/audit');
  expect(refused).toMatchObject({ ...PROBLEM, status: 429 });
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(1_000);
  // Also of those without a token, who are told apart by their addresses.
  const anybody = caller(service.url ?? '', '');
  for (let call = 0; call < 3; call += 1) expect((await anybody('/openapi.json')).status).toBe(200);
  expect((await anybody('/openapi.json')).status).toBe(429);
  const told = await until('both stand in the audit log', async () => {
    const entries = await refusedEntries(fleet);
    return entries.length === 2 && entries;
  });
  expect(told).toMatchObject([
    { claimed_by: 'token:siem', data: { status: 429, path: '/v1/audit' } },
    { actor: '127.0.0.1', data: { status: 429, path: '/openapi.json' } },
  ]);
  const other = caller(service.url ?? '', await makeToken(fleet, { name: 'other' }));
  expect((await other('/v1/audit')).status).toBe(200);
  expect(await service.reloadWith({ http: { listen, rate_limit: { max: 1_000, per: '1s' } } })).toMatchObject({
    kind: 'changed',
    changes: ['http'],
  });
  expect((await api('/v1/audit')).status).toBe(200);
});

test('what passes the breaker is confirmed by one token and approved by another', async () => {
  const queue = { producers: { scanner: { may: ['compromise', 'confirm'] } } };
  const { fleet, url } = await start({ config: { breaker: '20%', approval: { compromise_all: 2 }, queue } });
  for (let client = 0; client < 4; client += 1) await fleet.managed(PEM_APP);
  const [asks, approves, only] = [
    caller(url, await makeToken(fleet, { name: 'asks' })),
    caller(url, await makeToken(fleet, { name: 'approves' })),
    caller(url, await makeToken(fleet, { name: 'only', only: '185019846023/pem-app' })),
  ];
  const json = { ...DRILL, compromised: true };
  expect(await asks('/v1/rotations', { json })).toMatchObject({
    ...PROBLEM,
    status: 422,
    body: { detail: expect.stringContaining('"confirm": true') },
  });
  const headers = { prefer: 'respond-async' };
  const taken = await asks('/v1/rotations', { json: { ...json, confirm: true, actor: 'jane' }, headers });
  const place = `/v1/requests/${taken.body.request}`;
  await until('it waits for a second person', async () => /one more person/.test((await asks(place)).body.waits_for));
  expect((await only(place)).body).toEqual({ request: taken.body.request, rotations: [], pending: true });
  const approval = (by: typeof asks, of = place) => by(`${of}/approval`, { method: 'POST' });
  expect(await approval(asks)).toMatchObject({ ...PROBLEM, status: 409 });
  expect(await approval(only)).toMatchObject({ ...PROBLEM, status: 403 });
  expect(await approval(approves)).toMatchObject({
    status: 200,
    body: { approved_by: 'token:approves', asked_by: 'jane', asked_claimed_by: 'token:asks', select: { all: true } },
  });
  const told = await until('it has begun', async () => {
    const answer = await asks(place);
    return answer.body.pending === false && answer;
  });
  expect(told.body.rotations).toHaveLength(4);
  expect(await approval(approves)).toMatchObject({ ...PROBLEM, status: 404 });
  const called = (await fleet.audit()).filter(({ type }) => type === 'api.called');
  expect(called.at(-1)).toMatchObject({ claimed_by: 'token:approves', data: { address: '127.0.0.1' } });
  // One of a producer takes two: it is no person.
  const inbox = fleet.queues.inboxes.find(({ name }) => name === producerQueue('scanner'));
  const job = await inbox?.add('request', { ...json, v: 1, actor: 'a scanner', confirm: true });
  for (const one of [asks, approves]) {
    expect(await approval(one, `/v1/requests/scanner:${job?.id}`)).toMatchObject({
      status: 200,
      body: { asked_by: 'a scanner', asked_claimed_by: 'producer:scanner' },
    });
  }
  await until(
    'it has begun too',
    async () => (await inbox?.getJob(job?.id ?? ''))?.returnvalue?.rotations?.length === 4,
  );
});
