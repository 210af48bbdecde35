/** A Redis that loses what it had not yet written to disk, while somebody waits at the HTTP API. */
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { requestState } from '../../jobs/result.ts';
import { ask } from '../../src/http/ask.ts';
import { snapshot } from '../store/fixtures.ts';
import { caller, makeToken } from '../support/api.ts';
import { type Fleet, PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

const HTTP = { http: { listen: '127.0.0.1:0' } };

/** Nobody takes what is asked for; but a worker was there, and noted all keys. */
async function served(fleet: Fleet) {
  const worker = await fleet.start();
  await until('the keys are noted', () => fleet.resources.store.areOwnersNoted());
  await worker.stop();
  const { url } = await fleet.start({ http: true, worker: false });
  return caller(url ?? '', await makeToken(fleet));
}

/** Takes the one request out of the queue. No worker runs that could take it. */
async function lose({ queues: { requests } }: Fleet): Promise<void> {
  const [job] = await until('it is in the queue', async () => {
    const jobs = await requests.getJobs(['waiting', 'prioritized']);
    return jobs.length > 0 && jobs;
  });
  await job?.remove();
}

test('a request that is lost is no refusal: the caller is told to ask again, and it is begun then', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const client = await fleet.managed(PEM_APP);
  const api = await served(fleet);
  const json = { select: { clients: [client.ref] }, reason: 'a drill' };
  const headers = { 'idempotency-key': 'drill-1' };
  const [answer] = await Promise.all([api('/v1/rotations', { json, headers }), lose(fleet)]);
  expect(answer).toMatchObject({ status: 503, type: 'application/problem+json' });
  expect([answer.headers.get('retry-after'), answer.body.detail]).toEqual(['5', expect.stringMatching(/Ask again/)]);

  const leak = { key: client.key.privateKey.export({ format: 'pem', type: 'pkcs8' }), rotate: true };
  const [told] = await Promise.all([api('/v1/leaks', { json: leak }), lose(fleet)]);
  expect(told).toMatchObject({ status: 503, type: 'application/problem+json' });

  await fleet.start();
  const again = await api('/v1/rotations', { json, headers });
  expect(again).toMatchObject({ status: 202, body: { rotations: [{ client: client.ref }] } });
  await fleet.reached(client, again.body.rotations[0].id);
});

test('a call whose entry in the audit log is lost before its request is sent has one again when a worker takes it', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const { resources, queues } = fleet;
  const redis = new Redis({ path: fleet.redis.socketPath });
  onTestFinished(() => redis.disconnect());
  const putBack = await snapshot(redis);
  const lossy = {
    ...queues,
    async request(...asked: Parameters<typeof queues.request>) {
      await putBack();
      return queues.request(...asked);
    },
  };
  const call = {
    context: { resources, queues: lossy },
    principal: { claimedBy: 'token:siem', key: 'a key', only: null },
    headers: { prefer: 'respond-async' },
    body: { v: 1, select: { clients: [client.ref] }, reason: 'a drill', compromised: false },
    address: '127.0.0.1',
  };
  await ask(call as never); // it asks for no more than that
  const called = async () => (await fleet.audit()).filter(({ type }) => type === 'api.called');
  expect(await called()).toEqual([]);
  await fleet.start();
  await until('it is rotated', async () => (await fleet.audit()).some(({ type }) => type === 'rotation.completed'));
  const entries = await called();
  expect(entries).toMatchObject([{ claimed_by: 'token:siem', data: { address: '127.0.0.1' } }]);
});

test('a call that is repeated after its Idempotency-Key was lost is one request, and both are answered alike', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const client = await fleet.managed(PEM_APP);
  const api = await served(fleet);
  const redis = new Redis({ path: fleet.redis.socketPath });
  onTestFinished(() => redis.disconnect());
  const json = { select: { clients: [client.ref] }, reason: 'a drill' };
  const call = () => api('/v1/rotations', { json, headers: { 'idempotency-key': 'drill-1' } });
  const queued = (count: number) =>
    until(
      `${count} in the queue`,
      async () => (await fleet.queues.requests.getJobCountByTypes('prioritized', 'waiting')) === count,
    );

  const first = call();
  await queued(1);
  // As a power cut does, before the key was on disk. The job was sent again after it.
  for (const key of await redis.keys('*:idempotent:*')) await redis.del(key);
  const second = call();
  await queued(2);
  await fleet.start();
  const [one, other] = await Promise.all([first, second]);
  expect(one).toMatchObject({ status: 202, body: { rotations: [{ client: client.ref }] } });
  expect(other.body.rotations).toEqual(one.body.rotations);
  const rotation = one.body.rotations[0].id;
  await fleet.reached(client, rotation);
  const asked = (await fleet.audit()).filter(({ type }) => type === 'rotation.requested');
  expect(asked.map((entry) => entry.rotation)).toEqual([rotation]);
  // Each of the two requests tells of that rotation.
  for (const { body } of [one, other]) {
    const told = await api(`/v1/requests/${body.request}`);
    expect(told.body.rotations).toMatchObject([{ id: rotation }]);
  }
});

test.each(['completed', 'failed'] as const)(
  'a request that was %s, and is back in the queue after a power cut, waits',
  async (state) => {
    const fleet = await startFleet({ apps: [PEM_APP] });
    const client = await fleet.managed(PEM_APP);
    const id = await fleet.queues.request({
      v: 1,
      select: { clients: [client.ref] },
      reason: 'a drill',
      actor: 'a test',
    });
    const requests = new Proxy(fleet.queues.requests, {
      // It was read before the power cut, and the job itself after it.
      get: (queue, name) => (name === 'getJobState' ? async () => state : Reflect.get(queue, name)),
    });
    expect(await requestState({ requests }, id)).toEqual({ is: 'waiting', tries: 0, why: '' });
  },
);
