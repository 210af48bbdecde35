/** A wake-up that comes after a worker's last look at the record, and before it has gone to sleep; and one that finds a job in no list. */
import { expect, onTestFinished, test } from 'vitest';
import type { ClientRecord } from '../../src/core/record.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { DEPLOYMENT, type Fleet, KID_APP, startFleet } from '../support/fleet.ts';
import { thumbprints } from '../support/published.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const SLOW_UPKEEP = { config: { reconcile_every: '1h' } };

/** The worker stands still after the commit that leaves such a record: it decides next, by what it knows, to rest. */
async function startStoppingAt(fleet: Fleet, isThere: (record: ClientRecord) => boolean) {
  const { promise, resolve } = Promise.withResolvers<void>();
  let stands = false;
  await fleet.start({
    hooks: {
      async onPoint(point, ref) {
        if (stands || !point.endsWith(':after commit')) return;
        const record = (await fleet.resources.store.load(ref))?.record;
        if (record === undefined || !isThere(record)) return;
        stands = true;
        await promise;
      },
    },
  });
  return { stopped: () => until('the worker stands still', () => stands), goOn: resolve };
}

test('a compromise that is committed while its client goes to sleep for an overlap is not slept through', async () => {
  const app = { ...KID_APP, policy: { ...KID_APP.policy, propagation: '0s', overlap: '1h' } };
  const fleet = await startFleet({ apps: [app], ...SLOW_UPKEEP });
  const client = await fleet.managed(app);
  const { stopped, goOn } = await startStoppingAt(
    fleet,
    ({ rotation, retirements }) => rotation === null && retirements.length > 0,
  );
  const rotation = await fleet.rotate(client);
  await stopped();
  const { kid, replaces } = await fleet.reached(client, rotation, 'active');
  expect(await fleet.rotate(client, { compromised: { kid: replaces } })).toBe(rotation);
  goOn();
  await fleet.reached(client, rotation);
  expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, app.slug, client.id))).toEqual([kid]);
  await expectSound(fleet, [client]);
});

test('a request that is committed while the job of its client ends is not forgotten', async () => {
  const fleet = await startFleet({ apps: [KID_APP], ...SLOW_UPKEEP });
  const client = await fleet.managed(KID_APP);
  const { stopped, goOn } = await startStoppingAt(
    fleet,
    ({ rotation, retirements }) => rotation === null && retirements.length === 0,
  );
  const first = await fleet.rotate(client);
  await stopped();
  await fleet.reached(client, first);
  const second = await fleet.rotate(client);
  expect(await fleet.queues.rotateQueue(DEPLOYMENT).getJobState(client.ref)).toBe('active');
  goOn();
  await fleet.reached(client, second);
  await expectSound(fleet, [client]);
});

test.each([false, true])(
  'a job in no list, as in a Redis copied key by key, does not keep its client asleep (compromised: %s)',
  async (compromised) => {
    const fleet = await startFleet({ apps: [KID_APP], ...SLOW_UPKEEP });
    const client = await fleet.managed(KID_APP);
    const queue = fleet.queues.rotateQueue(DEPLOYMENT);
    const operator = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
    onTestFinished(() => operator.disconnect());
    await fleet.queues.wake(client.ref, false);
    expect(await operator.zrem(queue.toKey('prioritized'), client.ref)).toBe(1);
    expect(await queue.getJobState(client.ref)).toBe('unknown');
    await fleet.start();
    await fleet.reached(client, await fleet.rotate(client, { compromised }));
    await expectSound(fleet, [client]);
  },
);
