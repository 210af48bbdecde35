/** Where nothing changed, nothing is sent and nothing is delivered: after restarts, and with one more replica. */

import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isChange } from '../emulator/log.ts';
import { type Fleet, type FleetApp, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startServedFleet } from '../support/key-server.ts';
import { until } from '../support/until.ts';

/** Nothing of it names an alg or a format: clients keep theirs. */
const APPS: readonly FleetApp[] = [PEM_APP, KID_APP];

/** What others would notice of rekeyd. */
async function tracesOf(fleet: Fleet, clients: readonly FleetClient[]) {
  const sets = clients.map(({ folder }) => readlink(join(folder, '..data')).catch(() => null));
  return {
    patches: fleet.emulator.log.filter(isChange).length,
    /** A delivery makes another link, also of the same keys. */
    sets: await Promise.all(sets),
    audit: await fleet.resources.store.auditSize(),
  };
}

/** A start with everything that comes by the clock, until all of that is done. */
async function startOnce(fleet: Fleet): Promise<void> {
  const { upkeep } = fleet.queues;
  const before = new Set((await upkeep.getCompleted()).map(({ id }) => id));
  const service = await fleet.start({ schedule: true });
  await until('upkeep is done', async () => {
    // Services that start in the same second share a sweep, so sweeps cannot be counted.
    const open = await upkeep.getJobs(['waiting', 'prioritized', 'active']);
    if (open.some(({ name }) => name === 'sweep' || name === 'discover')) return false;
    const ended = (await upkeep.getCompleted()).filter(({ id }) => !before.has(id));
    return ended.filter(({ name }) => name === 'reconcile').length > 2;
  });
  expect(await upkeep.getFailedCount()).toBe(0);
  await service.stop();
}

test('a fleet of found, held and enrolled clients is left as it is by starts on the defaults', async () => {
  const fleet = await startFleet({ apps: APPS });
  const clients = [
    await fleet.managed(PEM_APP),
    await fleet.managed(PEM_APP, { alg: 'RS256' }),
    await fleet.managed(PEM_APP, { members: ({ pem }) => ({ public_key_pem: pem }) }),
    await fleet.managed(KID_APP, { enroll: false }),
    await fleet.foreign(KID_APP),
  ];
  const rotated = await fleet.managed(KID_APP);
  const service = await fleet.start();
  await fleet.reached(rotated, await fleet.rotate(rotated));
  await service.stop();
  await startOnce(fleet);
  const before = await tracesOf(fleet, [...clients, rotated]);
  expect(before.patches).toBe(2);
  expect(before.sets.map((set) => set === null)).toEqual([false, false, false, false, true, false]);

  await startOnce(fleet);
  expect(await tracesOf(fleet, [...clients, rotated])).toEqual(before);
  const first = await fleet.start({ schedule: true });
  await startOnce(fleet);
  await first.stop();
  expect(await tracesOf(fleet, [...clients, rotated])).toEqual(before);
});

test('sets that rekeyd serves are left as they are, too', async () => {
  const app: FleetApp = { ...KID_APP, policy: { strategy: 'overlap', format: 'jwks_uri' } };
  const fleet = await startServedFleet(app);
  const client = await fleet.managed(app);
  const service = await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  await service.stop();
  const before = await tracesOf(fleet, [client]);
  await startOnce(fleet);
  expect(await tracesOf(fleet, [client])).toEqual(before);
});
