/** What a caller with a token may get wrong, and what the world may do meanwhile. */
import { expect, test } from 'vitest';
import { caller, makeToken } from '../support/api.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

const ANYWHERE = { http: { listen: '127.0.0.1:0' } };
const PLACE = '185019846023/pem-app';
const NAMED = { select: { clients: [`${PLACE}/4711`] }, reason: 'a drill' };

test('a body that cannot be used is refused with what is wrong, and nothing is asked for', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: ANYWHERE });
  const { url } = await fleet.start({ http: true });
  const value = await makeToken(fleet);
  const api = caller(url ?? '', value);
  const post = (body: string, type = 'application/json') =>
    api('/v1/rotations', { method: 'POST', body, headers: { 'content-type': type } });
  for (const [what, body, status, told] of [
    ['no JSON', '{', 400, /JSON/],
    ['nothing', '', 400, /./],
    ['null', 'null', 400, /data/],
    ['a prototype', `{"__proto__":{"select":{"all":true}},"select":{"all":true},"reason":"x"}`, 400, /JSON/],
    ['a prototype within', `{"select":{"__proto__":{},"all":true},"reason":"x"}`, 400, /JSON/],
    ['a constructor', `{"constructor":{"prototype":{}},"select":{"all":true},"reason":"x"}`, 400, /JSON/],
    ['a number for text', JSON.stringify({ ...NAMED, reason: 7 }), 400, /reason/],
    ['a text for a list', JSON.stringify({ ...NAMED, select: { clients: 'all' } }), 400, /select/],
    ['two ways to select', JSON.stringify({ ...NAMED, select: { all: true, policy: 'x' } }), 400, /exactly one/],
    ['no reference', JSON.stringify({ ...NAMED, select: { clients: ['../../etc'] } }), 400, /client reference/],
    ['an unknown member', JSON.stringify({ ...NAMED, comprimised: true }), 400, /comprimised/],
    ['a claim', JSON.stringify({ ...NAMED, claim: 'e30.e30.e30' }), 400, /claim/],
    ['what does not go together', JSON.stringify({ ...NAMED, keep_standby: true }), 400, /keep_standby/],
    ['an unknown app', JSON.stringify({ ...NAMED, select: { app: '1/none' } }), 422, /no app 1\/none/],
    ['an unknown policy', JSON.stringify({ ...NAMED, select: { policy: 'none' } }), 422, /no policy none/],
    ['a client of no app', JSON.stringify({ ...NAMED, select: { clients: ['1/none/2'] } }), 422, /no policy for/],
    ['an unknown client', JSON.stringify(NAMED), 422, /lists no client/],
    ['10 MB', JSON.stringify({ ...NAMED, reason: 'x'.repeat(10 << 20) }), 413, /large/],
  ] as const) {
    const answer = await post(body);
    expect(answer, what).toMatchObject({ type: 'application/problem+json', status });
    expect(JSON.stringify(answer.body), what).toMatch(told);
  }
  expect((await post(JSON.stringify(NAMED), 'text/plain')).status).toBe(415);
  expect((await caller(url ?? '', '')('/v1/rotations', { json: { reason: 'x'.repeat(10 << 20) } })).status).toBe(401);
  const keyed = await api('/v1/rotations', { json: NAMED, headers: { 'idempotency-key': 'a b' } });
  expect(keyed).toMatchObject({ status: 400, body: { detail: expect.stringContaining('Idempotency-Key') } });
  for (const path of [
    '/v1/clients?limit=0',
    '/v1/clients?limit=many',
    '/v1/clients?state=lost',
    '/v1/clients?after=x',
    '/v1/clients?__proto__=1',
    '/v1/clients?unknown=1',
    '/v1/clients/a/b%2F..%2F..%2Fc/d',
    '/v1/audit?after=-1',
    '/v1/audit?after=1e400',
    '/v1/rotations/../x%00',
  ]) {
    expect((await api(path)).status, path).toBeGreaterThanOrEqual(400);
    expect((await api(path)).status, path).toBeLessThan(500);
  }
  const bodies = (await fleet.audit()).filter(({ type }) => type === 'rotation.started');
  expect(bodies).toEqual([]);
});

test('a key that is destroyed already is said to be so, and costs no PATCH, however it is named', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: ANYWHERE });
  const client = await fleet.managed(PEM_APP);
  const { url } = await fleet.start({ http: true });
  const api = caller(url ?? '', await makeToken(fleet));
  const post = (json: object) => api('/v1/rotations', { json: { reason: 'a drill', ...json } });
  const kid = client.key.kid;
  const [{ id }] = (await post({ select: { clients: [client.ref] } })).body.rotations;
  await fleet.reached(client, id);
  for (const wish of [
    { select: { clients: [client.ref] }, compromised: { kid } },
    { select: { kid }, compromised: true },
    { select: { kid }, compromised: true, confirm: true, take_over: true },
  ]) {
    expect(await post(wish), JSON.stringify(wish)).toMatchObject({
      status: 422,
      type: 'application/problem+json',
      body: { errors: [{ client: client.ref, detail: expect.stringMatching(/destroyed|nothing to replace/) }] },
    });
  }
  expect(fleet.patches(client)).toHaveLength(1);
});

test('Redis goes away while a request waits: the caller is told so, and asks again under the same key for the same request', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: ANYWHERE });
  const client = await fleet.managed(PEM_APP);
  const { url } = await fleet.start({ http: true, worker: false });
  const api = caller(url ?? '', await makeToken(fleet));
  const json = { select: { clients: [client.ref] }, reason: 'a drill' };
  const headers = { 'idempotency-key': 'drill-1' };
  const asked = api('/v1/rotations', { json, headers });
  await until('the request waits', async (saw) => {
    return saw(await fleet.queues.requests.getJobCountByTypes('wait', 'prioritized')) === 1;
  });
  await fleet.redis.kill();
  const lost = await asked;
  expect(lost).toMatchObject({ status: 503, type: 'application/problem+json' });
  expect(lost.body.detail).toMatch(/may be taken.*same Idempotency-Key/);
  await fleet.redis.restart();
  await fleet.start();
  const again = await api('/v1/rotations', { json, headers });
  expect(again).toMatchObject({ status: 202, body: { rotations: [{ client: client.ref }] } });
  await fleet.reached(client, again.body.rotations[0].id);
  expect((await fleet.audit()).filter(({ type }) => type === 'rotation.started')).toHaveLength(1);
});
