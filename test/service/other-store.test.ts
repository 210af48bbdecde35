/** Two installations over the same clients, each with a store of its own: what one of them manages, the other one finds and leaves alone. */
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Service } from '../../src/runtime/service.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { startRedis } from '../support/redis.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

/** @param policies laid over those of the fleet */
async function startOther(fleet: Fleet, policies: Readonly<Record<string, unknown>> = {}): Promise<Service> {
  const redis = await startRedis();
  // After the service that works with it.
  onTestFinished(() => redis.stop());
  const place = { data_dir: join(fleet.dir, 'elsewhere'), redis: { url: `unix://${redis.socketPath}` } };
  const file = { ...fleet.file, ...place, policies: { ...Object(fleet.file.policies), ...policies } };
  const service = await fleet.start({ schedule: true }, await fleet.configOf(file));
  onTestFinished(() => service.stop());
  return service;
}

async function recordOf({ resources }: Pick<Service, 'resources'>, { ref }: FleetClient) {
  return (await resources.store.load(ref))?.record ?? null;
}

/** Waits until that store knows that the server shows the key. */
async function untilSeen(by: Pick<Service, 'resources'>, client: FleetClient, kid: string | null): Promise<void> {
  await until(`the server is seen to show ${kid}`, async () =>
    (await recordOf(by, client))?.server.observed.client.keys.some(({ jwk }) => jwk.kid === kid),
  );
}

test('clients of another store are found and left alone, and rotated there as before', async () => {
  const fleet = await startFleet({ config: { reconcile_every: '200ms' } });
  const clients = await Promise.all([PEM_APP, KID_APP].map((app) => fleet.managed(app)));
  await fleet.start();
  const logins = await Promise.all(clients.map((client) => startLogins(client, fleet)));
  for (const client of clients) await fleet.reached(client, await fleet.rotate(client));
  const other = await startOther(fleet);
  await until(
    'all are found',
    async (saw) => saw(await other.resources.store.enrolmentCounts()).found === clients.length,
  );
  for (const client of clients) {
    const { kid } = await fleet.reached(client, await fleet.rotate(client));
    await untilSeen(other, client, kid);
    expect(await recordOf(other, client)).toMatchObject({ enrolment: 'found', keys: [], rotation: null });
    // Ours, and no other.
    expect(fleet.patches(client)).toHaveLength(client.app === KID_APP ? 4 : 2);
  }
  for (const stream of logins) {
    await stream.more(2);
    expect((await stream.stop()).refused).toEqual([]);
  }
  await expectSound(fleet, clients);
});

test('a key that another store offers beside ours stays when ours is rotated', async () => {
  const fleet = await startFleet({ apps: [KID_APP], config: { reconcile_every: '200ms' } });
  const client = await fleet.managed(KID_APP);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  const policy = { schedule: '* * * * * *', strategy: 'overlap', adopt: 'overlap', propagation: '0s', overlap: '1s' };
  const other = await startOther(fleet, { [KID_APP.slug]: policy });
  const offered = await until('the other one offers a key', async () => {
    const phase = (await recordOf(other, client))?.rotation?.phase;
    return phase?.name === 'offered' && phase.kid;
  });
  // No PATCH is compared with what somebody else sent a moment before.
  await untilSeen(fleet, client, offered);
  for (const _ of [1, 2]) {
    const { kid } = await fleet.reached(client, await fleet.rotate(client));
    const { jwks } = fleet.emulator.client(DEPLOYMENT, KID_APP.slug, client.id);
    expect(jwks?.keys.map((key) => key.kid).sort()).toEqual([kid, offered].sort());
    await untilSeen(other, client, kid);
  }
  expect(await recordOf(other, client)).toMatchObject({ enrolment: 'found', rotation: { phase: { name: 'offered' } } });
  await logins.more(2);
  expect((await logins.stop()).refused).toEqual([]);
});
