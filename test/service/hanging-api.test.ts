/** An API that hangs costs the clients of other deployments nothing. */
import { expect, test } from 'vitest';
import { type FleetApp, PEM_APP, startFleet } from '../support/fleet.ts';
import { answered, ended } from '../support/jobs.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const HANGING = '666';

/** More policies than workers that look after lists, so that each of those meets one that hangs. */
const HANGING_APPS: readonly FleetApp[] = Array.from({ length: 12 }, (_, index) => ({
  slug: `hanging-${index}`,
  selection: 'first_pem',
  deployment: HANGING,
}));

/** More than are worked on at once. */
const REQUESTS_EACH = 3;

test('nothing in another deployment waits for lists, sweeps and requests of one that hangs', async () => {
  const apps = [PEM_APP, ...HANGING_APPS];
  const fleet = await startFleet({ apps, deployment: { timeout: '10m' } });
  const [leaked, other] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const stuck = await Promise.all(HANGING_APPS.map((app) => fleet.managed(app)));
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  const match = { deployment: HANGING, method: 'GET' };
  const hang = { kind: 'hold', until: promise, when: 'before', match, times: Number.POSITIVE_INFINITY } as const;
  fleet.emulator.faults.add(hang);
  await fleet.start({ schedule: true });
  const { requests, upkeep } = fleet.queues;
  const waiting = await Promise.all(
    stuck.flatMap(({ ref }) =>
      Array.from({ length: REQUESTS_EACH }, () =>
        fleet.queues.request({ v: 1, select: { clients: [ref] }, reason: 'a test', actor: 'test' }),
      ),
    ),
  );
  await until('lists hang, and so do requests', async () => {
    const [lists, asked] = await Promise.all([upkeep.getActiveCount(), requests.getActiveCount()]);
    return lists > 4 && asked > 4;
  });
  await fleet.reached(leaked, await fleet.rotate(leaked, { compromised: true }));
  await fleet.reached(other, await fleet.rotate(other));
  expect(await requests.getCompletedCount(), 'only these two were answered').toBe(2);

  answer();
  for (const id of waiting) await ended(requests, id);
  await expectSound(fleet, [leaked, other]);
});

test('upkeep that an older version planned among the requests is removed, and planned in its own queue', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const { control, upkeep } = fleet.queues;
  await control.upsertJobScheduler('reconcile', { every: 3_600_000 }, { name: 'reconcile', data: { v: 1 } });
  await control.add('sweep', { v: 1, policy: PEM_APP.slug, slot: 'older' }, { delay: 3_600_000 });
  await control.add('discover', { v: 1, policy: PEM_APP.slug, slot: 'older' }, { priority: 10 });
  const data = { v: 1, select: { clients: [client.ref] }, reason: 'a test', actor: 'test' };
  const { id: left = '' } = await control.add('request', data);
  await fleet.start();
  await until('upkeep is planned', async (saw) => saw(await upkeep.getJobScheduler('reconcile'))?.next);
  expect(await control.getJobSchedulersCount()).toBe(0);
  const names = (await control.getJobs()).map(({ id, name }) => [id, name]);
  expect(names).toEqual([[left, 'request']]);
  const { rotations } = await answered(control, left);
  await fleet.reached(client, rotations[0]?.id ?? '');
});
