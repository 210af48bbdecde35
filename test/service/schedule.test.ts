import { expect, test } from 'vitest';
import { DEPLOYMENT, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const EVERY_SECOND = { schedule: '*/1 * * * * *', rotate_every: '2s' };

test('two instances rotate a fleet on schedule, each tick once, until they are stopped', async () => {
  const apps = [PEM_APP, KID_APP].map((app) => ({ ...app, policy: { ...app.policy, ...EVERY_SECOND } }));
  const fleet = await startFleet({ apps });
  const clients = await Promise.all(apps.flatMap((app) => [fleet.managed(app), fleet.managed(app)]));
  const logins = await Promise.all(clients.map((client) => startLogins(client, { ...fleet, everyMs: 40 })));
  const services = await Promise.all([fleet.start({ schedule: true }), fleet.start({ schedule: true })]);
  const finishedOf = async (client: (typeof clients)[number]) =>
    (await fleet.resources.store.history(client.ref)).filter(({ state }) => state === 'finished');
  for (const client of clients) {
    // Each waits for its key to become old enough, and for a tick.
    await until('three rotations', async (saw) => saw(await finishedOf(client)).length >= 3, 60_000);
  }
  await Promise.all(services.map((service) => service.stop()));
  const jobs = [fleet.queues.upkeep, fleet.queues.rotateQueue(DEPLOYMENT)];
  expect(await Promise.all(jobs.map((queue) => queue.getActiveCount()))).toEqual([0, 0]);
  const size = await fleet.resources.store.auditSize();

  const sweeps = (await fleet.queues.upkeep.getJobs()).filter(({ name }) => name === 'sweep');
  const slots = sweeps.map(({ data }) => `${data.policy} ${data.slot}`);
  expect(slots.length).toBeGreaterThan(6);
  expect(new Set(slots).size).toBe(slots.length);
  const audit = await fleet.audit();
  const requested = audit.filter(({ type }) => type === 'rotation.requested');
  expect(new Set(requested.map(({ rotation }) => rotation)).size).toBe(requested.length);
  expect(new Set(requested.map(({ actor }) => actor))).toEqual(new Set(['schedule:pem-app', 'schedule:kid-app']));
  // Scheduled by age, not by tick.
  for (const { ref } of clients) {
    const times = audit
      .filter(({ type, client }) => type === 'key.activated' && client === ref)
      .map(({ time }) => Date.parse(time));
    times.reduce((before, at) => {
      expect(at - before).toBeGreaterThanOrEqual(2_000);
      return at;
    });
  }
  for (const stream of logins) {
    await stream.more(2);
    expect((await stream.stop()).refused).toEqual([]);
  }
  expect(await fleet.resources.store.auditSize(), 'nothing happens after stop').toBe(size);
  // Rotations that were under way go on, and nothing new is started.
  await fleet.start();
  await until('all is finished', async (saw) => saw(await fleet.resources.store.openWork()).length === 0);
  await expectSound(fleet, clients);
});

test('a client that was never managed is found, taken over where the policy says so, and rotated', async () => {
  const app = { ...PEM_APP, policy: { schedule: '*/1 * * * * *', foreign_keys: 'retire', adopt: 'take_over' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.foreign(app);
  const secret = fleet.emulator.addClient({
    deployment: DEPLOYMENT,
    app: app.slug,
    client_auth_method: 'client_secret_basic',
  });
  await fleet.start({ schedule: true });
  await until('its first rotation ends', async () => {
    const [latest] = await fleet.resources.store.history(client.ref);
    return latest?.state === 'finished';
  });
  const told = (await fleet.audit()).map(({ type }) => type);
  expect(told.filter((type) => /^(client|key)\.(found|enrolled|activated)$/.test(type))).toEqual([
    'client.found',
    'key.activated',
    'client.enrolled',
  ]);
  expect((await fleet.resources.store.clientRefs()).some((ref) => ref.endsWith(secret.id))).toBe(false);
  await expectSound(fleet, [client]);
});
