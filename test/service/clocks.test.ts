/** A machine whose clock is wrong: time is the store's, and a proof is dated as the server would. */
import { expect, test } from 'vitest';
import type { RotationSummary } from '../../src/core/history.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import {
  DEPLOYMENT,
  type Fleet,
  type FleetClient,
  KID_APP,
  PEM_APP,
  startFleet,
  wrongClock,
} from '../support/fleet.ts';
import { answered } from '../support/jobs.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const HOUR = 3_600_000;
const OVERLAP_MS = 1_000;

/** From the moment the new key was in use to the PATCH that took the old one away. */
function overlapOf(fleet: Fleet, client: FleetClient, { activeAt }: RotationSummary): number {
  return (fleet.patches(client).at(-1)?.at ?? 0) - (activeAt ?? Number.POSITIVE_INFINITY);
}

test.each([-HOUR, HOUR])('a clock %i ms off shortens no overlap and spoils no proof', async (offset) => {
  const app = { ...KID_APP, policy: { strategy: 'overlap', overlap: `${OVERLAP_MS}ms` } };
  const fleet = await startFleet({ apps: [app, PEM_APP] });
  const overlapping = await fleet.managed(app);
  const cutOver = await fleet.managed(PEM_APP);
  await fleet.start({ clock: wrongClock(offset) });
  const streams = await Promise.all(
    [overlapping, cutOver].map((client) => startLogins(client, { ...fleet, everyMs: 30 })),
  );
  const rotations = [await fleet.rotate(overlapping), await fleet.rotate(cutOver)] as const;
  const overlapped = await fleet.reached(overlapping, rotations[0]);
  await fleet.reached(cutOver, rotations[1]);
  expect(overlapOf(fleet, overlapping, overlapped)).toBeGreaterThanOrEqual(OVERLAP_MS);
  for (const stream of streams) expect((await stream.stop()).refused).toEqual([]);
  await expectSound(fleet, [overlapping, cutOver]);
});

test('a clock that jumps back and forth in the middle does no harm', async () => {
  const app = { ...KID_APP, policy: { strategy: 'overlap', propagation: '300ms', overlap: `${OVERLAP_MS}ms` } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  const clock = wrongClock(0);
  await fleet.start({
    clock,
    hooks: {
      onPoint(point) {
        if (point === 'patch:after effect') clock.offset = HOUR;
        if (point === 'prove_new:after commit') clock.offset = -HOUR;
      },
    },
  });
  const logins = await startLogins(client, fleet);
  const rotation = await fleet.rotate(client);
  const ended = await fleet.reached(client, rotation);
  expect(overlapOf(fleet, client, ended)).toBeGreaterThanOrEqual(OVERLAP_MS);
  await fleet.reached(client, await fleet.rotate(client));
  expect((await logins.stop()).refused).toEqual([]);
  await expectSound(fleet, [client]);
});

test('a job that a machine with a fast clock put off is not late for that', async () => {
  const app = { ...KID_APP, policy: { strategy: 'overlap', overlap: '6s' } };
  const fleet = await startFleet({ apps: [app], config: { reconcile_every: '200ms' } });
  const client = await fleet.managed(app);
  await fleet.start();
  const rotation = await fleet.rotate(client);
  await fleet.reached(client, rotation, 'active');
  const queue = fleet.queues.rotateQueue(DEPLOYMENT);
  const waiting = await until('its job waits for the end of the overlap', async () => {
    const job = await queue.getJob(client.ref);
    return (await job?.isDelayed()) === true && job;
  });
  await waiting.changeDelay(HOUR);
  const ended = await fleet.reached(client, rotation);
  expect(overlapOf(fleet, client, ended)).toBeGreaterThanOrEqual(6_000);
});

test('a request that failed on a machine with a fast clock is tried again at once', async () => {
  const fleet = await startFleet({ apps: [KID_APP], config: { reconcile_every: '200ms' } });
  const client = await fleet.managed(KID_APP);
  const { control } = fleet.queues;
  const data = { v: 1, select: { clients: [client.ref] }, reason: 'test', actor: 'test', compromised: false };
  const job = await control.add('request', data, { delay: HOUR });
  const redis = await connectRedis(fleet.resources.redis, { name: 'test' });
  await redis.hset(control.toKey(job.id ?? ''), 'processedOn', Date.now() + HOUR);
  redis.disconnect();
  await fleet.start();
  await answered(control, job.id);
});

test('upkeep that a machine with a fast clock put off comes back', async () => {
  const fleet = await startFleet({ config: { reconcile_every: '200ms' } });
  await fleet.start();
  const { upkeep } = fleet.queues;
  await until('upkeep is planned', async (saw) => saw(await upkeep.getJobScheduler('reconcile'))?.next);
  await upkeep.removeJobScheduler('reconcile');
  await upkeep.upsertJobScheduler(
    'reconcile',
    { every: 200, startDate: Date.now() + HOUR },
    { name: 'reconcile', data: { v: 1 } },
  );
  await until('upkeep is near again', async () => {
    const next = (await upkeep.getJobScheduler('reconcile'))?.next ?? Number.POSITIVE_INFINITY;
    return next < Date.now() + HOUR / 2;
  });
});
