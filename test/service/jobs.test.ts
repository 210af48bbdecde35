/** What others put into the queues. */

import { type Job, type JobsOptions, Queue } from 'bullmq';
import { expect, onTestFinished, test } from 'vitest';
import { CONTROL } from '../../jobs/inboxes.ts';
import { bullConnection, rotateQueueName, UPKEEP } from '../../jobs/queues.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { DEPLOYMENT, type Fleet, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { ended } from '../support/jobs.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

/** A producer that knows nothing of rekeyd but the contract. */
function producer(fleet: Fleet, name: string): Queue {
  const queue = new Queue(name, {
    connection: bullConnection(fleet.resources.redis),
    prefix: fleet.resources.store.keys.queues,
  });
  onTestFinished(() => queue.close());
  return queue;
}

const STUBBORN: JobsOptions = { attempts: 5, backoff: 10 };
const WHO = { reason: 'a test', actor: 'somebody' };

const POISON: readonly [queue: string, name: string, data: unknown][] = [
  [CONTROL, 'request', null],
  [CONTROL, 'request', 'rotate everything'],
  [CONTROL, 'request', []],
  [CONTROL, 'request', {}],
  [CONTROL, 'request', { v: 2, select: { all: true }, ...WHO }],
  [CONTROL, 'request', { v: 1, select: {}, ...WHO }],
  [CONTROL, 'request', { v: 1, select: { all: true, app: 'a/b' }, ...WHO }],
  [CONTROL, 'request', { v: 1, select: { clients: ['../../etc'] }, ...WHO }],
  [CONTROL, 'request', { v: 1, select: { clients: [7] }, ...WHO }],
  [CONTROL, 'request', { v: 1, select: { all: true }, ...WHO, private_key: 'x' }],
  [CONTROL, 'request', { v: 1, select: { all: true }, ...WHO, reason: 'x'.repeat(100_000) }],
  [CONTROL, 'no-such-job', { v: 1 }],
  [UPKEEP, 'sweep', { v: 1 }],
  [UPKEEP, 'discover', { v: 1, policy: PEM_APP.slug }],
  [UPKEEP, 'wave', { v: 1, policy: PEM_APP.slug }],
  [UPKEEP, 'reconcile', { v: 'one' }],
  [UPKEEP, 'no-such-job', { v: 1 }],
  [rotateQueueName(DEPLOYMENT), 'rotate', {}],
  [rotateQueueName(DEPLOYMENT), 'rotate', { v: 1, client: 'nobody', rotation: 'r' }],
];

test('a poisoned job fails once, says why, and holds up nobody', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const queues = new Map([CONTROL, UPKEEP, rotateQueueName(DEPLOYMENT)].map((name) => [name, producer(fleet, name)]));
  const jobs: [Queue, Job][] = [];
  for (const [name, job, data] of POISON) {
    const queue = queues.get(name);
    if (queue !== undefined) jobs.push([queue, await queue.add(job, data, STUBBORN)]);
  }
  expect(jobs).toHaveLength(POISON.length);
  await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  for (const [queue, added] of jobs) {
    const job = await ended(queue, added.id);
    expect(job.failedReason, JSON.stringify(added.data)?.slice(0, 100)).toMatch(/\w/);
    expect(job.attemptsMade, job.failedReason).toBe(1);
    expect(job.failedReason?.length).toBeLessThan(1_000);
  }
  await expectSound(fleet, [client]);
});

test('a client asked for a hundred times at once is rotated once', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const queue = producer(fleet, CONTROL);
  const data = { v: 1, select: { clients: [client.ref] }, ...WHO };
  const added = await queue.addBulk(Array.from({ length: 100 }, () => ({ name: 'request', data })));
  // It cannot end before the last of them has asked.
  let open = () => {};
  const until100 = new Promise<void>((resolve) => {
    open = resolve;
  });
  fleet.emulator.faults.add({ kind: 'hold', until: until100, when: 'before', match: CHANGE });
  await fleet.start();
  const results = await Promise.all(added.map(async (job) => (await ended(queue, job.id)).returnvalue));
  open();
  const ids = new Set(results.flatMap(({ rotations }) => rotations.map(({ id }: { id: string }) => id)));
  expect(ids.size).toBe(1);
  const [id = ''] = ids;
  await fleet.reached(client, id);
  expect(fleet.patches(client)).toHaveLength(1);
  await expectSound(fleet, [client]);
});

test('a plain producer is told the rotations of its request, and the same ones when the job is run again', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const clients = await Promise.all([fleet.managed(PEM_APP), fleet.managed(PEM_APP)]);
  await fleet.start();
  const queue = producer(fleet, CONTROL);
  const job = await queue.add('request', { v: 1, select: { app: `${DEPLOYMENT}/${PEM_APP.slug}` }, ...WHO });
  const { returnvalue } = await ended(queue, job.id);
  expect(returnvalue).toEqual({ rotations: clients.map(({ ref }) => ({ id: expect.any(String), client: ref })) });
  for (const [index, client] of clients.entries()) await fleet.reached(client, returnvalue.rotations[index].id);

  await (await ended(queue, job.id)).retry('completed');
  expect((await ended(queue, job.id)).returnvalue).toEqual(returnvalue);
  await until('the queue is idle', async (saw) => saw(await fleet.queues.rotateQueue(DEPLOYMENT).count()) === 0);
  for (const client of clients) expect(fleet.patches(client)).toHaveLength(1);
  const requested = (await fleet.audit()).filter(({ type }) => type === 'rotation.requested');
  expect(requested).toMatchObject(
    clients.map(() => ({ actor: 'somebody', reason: 'a test', data: { request: job.id } })),
  );
});

test('a compromise that hurried a rotation is told once, and replaces one key, however often its job is run', async () => {
  const app = { ...KID_APP, policy: { ...KID_APP.policy, propagation: '1h', overlap: '1h' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  const rotation = await fleet.rotate(client);
  await until('the new key soaks', async (saw) => saw(await fleet.record(client)).rotation?.phase.name === 'published');
  const queue = producer(fleet, CONTROL);
  const data = { v: 1, select: { clients: [client.ref] }, compromised: true, ...WHO };
  const job = await queue.add('request', data);
  const { returnvalue } = await ended(queue, job.id);
  expect(returnvalue).toEqual({ rotations: [{ id: rotation, client: client.ref }] });
  const { kid } = await fleet.reached(client, rotation);

  await (await ended(queue, job.id)).retry('completed');
  expect((await ended(queue, job.id)).returnvalue).toEqual(returnvalue);
  await until('the queue is idle', async (saw) => saw(await fleet.queues.rotateQueue(DEPLOYMENT).count()) === 0);
  expect((await fleet.record(client)).keys.map((key) => key.kid)).toEqual([kid]);
  const told = (await fleet.audit()).filter(
    ({ type, data: { request } }) => type === 'rotation.requested' && request === job.id,
  );
  expect(told).toHaveLength(1);
});

test('a compromise is begun before requests that came earlier', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const { request, requests } = fleet.queues;
  const data = { v: 1, select: { clients: [client.ref] }, ...WHO };
  const earlier = await Promise.all(Array.from({ length: 5 }, () => request(data)));
  const urgent = await request({ ...data, compromised: true });
  await fleet.start();
  const begun = async (id: string) => (await ended(requests, id)).processedOn ?? Number.NaN;
  const first = await begun(urgent);
  for (const id of earlier) expect(await begun(id)).toBeGreaterThanOrEqual(first);
});
