/** Requests that come while the API does not answer: they are somebody's word, and stay until they are answered. */
import { type Job, Queue } from 'bullmq';
import { expect, onTestFinished, test } from 'vitest';
import { CONTROL } from '../../jobs/inboxes.ts';
import { bullConnection } from '../../jobs/queues.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import type { FaultRule } from '../emulator/faults.ts';
import { type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { answered } from '../support/jobs.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const HOUR = 3_600_000;
const LIST = { match: { method: 'GET', path: /clients$/ }, times: Number.POSITIVE_INFINITY };
const GONE: FaultRule = { kind: 'status', status: 503, message: 'under repair', ...LIST };

/** From a producer that knows nothing of rekeyd but the contract: BullMQ gives its job one attempt. */
async function ask(fleet: Fleet, clients: readonly FleetClient[], more: object = {}): Promise<Job> {
  const queue = new Queue(CONTROL, {
    connection: bullConnection(fleet.resources.redis),
    prefix: fleet.resources.store.keys.queues,
  });
  onTestFinished(() => queue.close());
  const select = { clients: clients.map(({ ref }) => ref) };
  return queue.add('request', { v: 1, select, reason: 'a test', actor: 'siem', ...more });
}

async function found(fleet: Fleet, { id = '' }: Job): Promise<Job> {
  const job = await fleet.queues.control.getJob(id);
  if (job === undefined) throw new Error(`request ${id} is gone`);
  return job;
}

/** What the job tells of itself once it waits for another try. */
function putOff(fleet: Fleet, asked: Job): Promise<Job> {
  return until('the request is put off', async () => {
    const job = await found(fleet, asked);
    expect(job.finishedOn, job.failedReason).toBeUndefined();
    return typeof job.progress === 'object' && job;
  });
}

test.each<[string, FaultRule, string]>([
  ['an error', GONE, 'under repair'],
  ['no answer', { kind: 'drop', when: 'before', ...LIST }, 'failed: '],
  ['a 429', { kind: 'status', status: 429, retryAfter: 1, message: 'slow down', ...LIST }, 'slow down'],
  ['a refused API key', { kind: 'status', status: 401, ...LIST }, 'Authentication failed'],
])('a request that meets %s waits, says why, and is answered once that has passed', async (_, fault, why) => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.foreign(PEM_APP);
  fleet.emulator.faults.add(fault);
  const job = await ask(fleet, [client], { take_over: true });
  await fleet.start();
  const { progress } = await putOff(fleet, job);
  expect(progress).toMatchObject({ tries: expect.any(Number), why: expect.stringContaining(why) });
  await until('it is logged', () => fleet.lines.some((line) => line.includes('a request waits') && line.includes(why)));
  fleet.emulator.faults.clear();
  const { rotations, errors } = await answered(fleet.queues.control, job.id);
  expect({ rotations, errors }).toMatchObject({ rotations: [{ client: client.ref }], errors: undefined });
  await fleet.reached(client, rotations[0]?.id ?? '');
  await expectSound(fleet, [client]);
});

test('a 429 is not asked again before its time', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: { reconcile_every: '1h' } });
  const client = await fleet.foreign(PEM_APP);
  fleet.emulator.faults.add({ kind: 'status', status: 429, retryAfter: 2, message: 'slow', ...LIST, times: 2 });
  const job = await ask(fleet, [client], { take_over: true });
  await fleet.start();
  await answered(fleet.queues.control, job.id);
  const lists = fleet.emulator.log.filter(({ path }) => path.endsWith('/clients'));
  const refused = lists.findLastIndex(({ status }) => status === 429);
  expect((lists[refused + 1]?.at ?? 0) - (lists[refused]?.at ?? 0)).toBeGreaterThanOrEqual(2_000);
});

test('a compromised client that is known is not kept waiting by those that only the list knows', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const [known, unknown] = [await fleet.managed(PEM_APP), await fleet.foreign(PEM_APP)];
  fleet.emulator.faults.add(GONE);
  // No proof is had while this lasts, so the first rotation is still under way when the second request names the same client.
  fleet.emulator.faults.add({ ...GONE, match: { path: /introspect/ } });
  const alone = await ask(fleet, [known], { compromised: true });
  await fleet.start();
  const { rotations: early } = await answered(fleet.queues.control, alone.id);
  expect(early).toEqual([{ id: expect.any(String), client: known.ref }]);
  // A report that comes before the PATCH is answered has the same document sent once more.
  await until('its key is published', async () => (await fleet.audit()).some(({ type }) => type === 'key.published'));

  const both = await ask(fleet, [known, unknown], { compromised: true, confirm: true });
  await putOff(fleet, both);
  fleet.emulator.faults.clear();
  const { rotations } = await answered(fleet.queues.control, both.id);
  expect(rotations).toEqual([...early, { id: expect.any(String), client: unknown.ref }]);
  for (const [index, client] of [known, unknown].entries()) await fleet.reached(client, rotations[index]?.id ?? '');
  expect(fleet.patches(known)).toHaveLength(1);
  await expectSound(fleet, [known, unknown]);
});

test('an app that cannot be read keeps no other one waiting, and what was joined is told once', async () => {
  const fleet = await startFleet({ apps: [PEM_APP, KID_APP], config: { reconcile_every: '1h' } });
  const [near, far] = [await fleet.managed(PEM_APP), await fleet.foreign(KID_APP)];
  const path = new RegExp(`/${KID_APP.slug}/clients$`);
  fleet.emulator.faults.add({ ...GONE, match: { method: 'GET', path } });
  const first = await ask(fleet, [near]);
  await fleet.start({ schedule: false });
  const { rotations: under } = await answered(fleet.queues.control, first.id);
  const job = await ask(fleet, [near, far], { compromised: true, confirm: true });
  const all = await ask(fleet, [], { select: { all: true }, take_over: true });
  await until('both were tried again', async () => {
    const tries = [await putOff(fleet, job), await putOff(fleet, all)].map(({ attemptsStarted }) => attemptsStarted);
    return Math.min(...tries) > 2;
  });
  fleet.emulator.faults.clear();
  for (const asked of [job, all]) {
    const { rotations } = await answered(fleet.queues.control, asked.id);
    expect(rotations.map(({ client }: { client: string }) => client)).toEqual([near.ref, far.ref].sort());
    for (const { id, client } of rotations) await fleet.reached(client === near.ref ? near : far, id);
    const told = (await fleet.audit()).filter(
      ({ type, client, data }) => type === 'rotation.requested' && client === near.ref && data.request === asked.id,
    );
    expect(told).toHaveLength(1);
  }
  expect(under).toMatchObject([{ client: near.ref }]);
  await expectSound(fleet, [near, far]);
});

test('an ordinary rotation is not begun in an outage, in which it would use its attempts up', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  fleet.emulator.faults.add({ ...GONE, match: { path: /\/oauth\/apps/ } });
  const job = await ask(fleet, [client]);
  await fleet.start();
  await putOff(fleet, job);
  expect((await fleet.record(client)).rotation).toBeNull();
  expect(await fleet.resources.store.history(client.ref)).toEqual([]);
  fleet.emulator.faults.clear();
  const { rotations } = await answered(fleet.queues.control, job.id);
  await fleet.reached(client, rotations[0]?.id ?? '');
});

test('a leaked key that the record does not know yet is looked for until the list can be read', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  fleet.emulator.faults.add(GONE);
  const job = await ask(fleet, [client], { compromised: { kid: 'added-by-hand' } });
  await fleet.start();
  await putOff(fleet, job);
  fleet.emulator.faults.clear();
  const { errors } = await answered(fleet.queues.control, job.id);
  expect(errors).toMatchObject([{ client: client.ref, message: expect.stringContaining('has no key added-by-hand') }]);
});

test('a request that a machine with a fast clock put off is tried again at once', async () => {
  const fleet = await startFleet({
    apps: [PEM_APP],
    config: { reconcile_every: '200ms' },
    deployment: { throttle_max: '1s' },
  });
  const client = await fleet.foreign(PEM_APP);
  // Nobody tries again within this test, unless upkeep sees to it.
  fleet.emulator.faults.add({ kind: 'status', status: 429, retryAfter: 3_000, ...LIST });
  const job = await ask(fleet, [client], { take_over: true });
  const service = await fleet.start();
  await putOff(fleet, job);
  await service.stop();
  const redis = await connectRedis(fleet.resources.redis, { name: 'test' });
  await redis.hset(fleet.queues.control.toKey(job.id ?? ''), 'processedOn', Date.now() + HOUR);
  redis.disconnect();
  fleet.emulator.faults.clear();
  await fleet.start();
  const { rotations } = await answered(fleet.queues.control, job.id);
  expect(rotations).toMatchObject([{ client: client.ref }]);
});

test('a request for one client asks no other deployment than its own', async () => {
  const far = { ...KID_APP, deployment: '2' };
  const fleet = await startFleet({ apps: [PEM_APP, far] });
  const client = await fleet.managed(PEM_APP);
  await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  expect(fleet.emulator.log.filter(({ deployment }) => deployment === far.deployment)).toEqual([]);
});
