/** A key that may have leaked must stop working now. */

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import type { FaultRule } from '../emulator/faults.ts';
import { isChange } from '../emulator/log.ts';
import { goodClaims, introspect, sign } from '../emulator/testing.ts';
import { DEPLOYMENT, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { thumbprints } from '../support/published.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

/** Nothing that waits for any of these ends within a test. */
const SLOW = { propagation: '1h', overlap: '1h' };
const SLOW_PEM = { ...PEM_APP, policy: SLOW };
const SLOW_KID = { ...KID_APP, policy: { ...KID_APP.policy, ...SLOW } };

test.each([SLOW_PEM, SLOW_KID])('$slug: one PATCH takes the old key away, without soak or overlap', async (app) => {
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  const { kid, replaces } = await fleet.reached(client, await fleet.rotate(client, { compromised: true }));
  const bodies = await Promise.all(fleet.patches(client).map(({ body }) => thumbprints(body)));
  expect(bodies).toEqual([[kid]]);
  const host = `${app.slug}.example.com`;
  const stolen = await sign(client.key, goodClaims(client.clientId, host, '/oauth/introspect'), {
    kid: client.key.kid,
  });
  expect((await introspect(fleet.emulator, host, client.clientId, stolen)).status).toBe(400);
  expect((await logins.stop()).refused).toEqual([]);
  const told = (await fleet.audit()).filter(({ type }) => type === 'key.compromised');
  expect(told).toMatchObject([{ data: { kid: replaces, from: 'active', to: 'compromised' } }]);
  await expectSound(fleet, [client]);
});

test('a compromise while a normal rotation soaks goes on with its new key, at once', async () => {
  const fleet = await startFleet({ apps: [SLOW_KID] });
  const client = await fleet.managed(SLOW_KID);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  const rotation = await fleet.rotate(client);
  await until('the new key soaks', async (saw) => saw(await fleet.record(client)).rotation?.phase.name === 'published');
  expect(await fleet.rotate(client, { compromised: true })).toBe(rotation);
  const { kid } = await fleet.reached(client, rotation);
  const bodies = await Promise.all(fleet.patches(client).map(({ body }) => thumbprints(body)));
  expect(bodies).toEqual([[expect.any(String), kid], [kid]]);
  expect((await logins.stop()).refused).toEqual([]);
  await expectSound(fleet, [client]);
});

test('a compromise while the old key is in its overlap takes that key away, and replaces the one in use', async () => {
  const app = { ...SLOW_KID, policy: { ...SLOW_KID.policy, propagation: '0s' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  const first = await fleet.rotate(client);
  await fleet.reached(client, first, 'active');
  const { kid } = await fleet.reached(client, await fleet.rotate(client, { compromised: true }));
  await fleet.reached(client, first);
  expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, app.slug, client.id))).toEqual([kid]);
  expect((await logins.stop()).refused).toEqual([]);
  await expectSound(fleet, [client]);
});

test('a named old key goes before its overlap is over, and the key in use stays', async () => {
  const app = { ...SLOW_KID, policy: { ...SLOW_KID.policy, propagation: '0s' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  const rotation = await fleet.rotate(client);
  const { kid, replaces } = await fleet.reached(client, rotation, 'active');
  await fleet.rotate(client, { compromised: { kid: replaces } });
  await fleet.reached(client, rotation);
  expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, app.slug, client.id))).toEqual([kid]);
  await expectSound(fleet, [client]);
});

/** Few attempts, so that an outage uses them up soon. */
const QUITTER = { ...SLOW_PEM, policy: { ...SLOW, attempts: 2 } };

test.each<[string, NonNullable<FaultRule['match']>]>([
  ['nothing is', { path: /\/oauth\/apps/ }],
  ['no PATCH is', CHANGE],
])('a compromise outlasts an outage in which %s answered, and raises one alarm', async (_, match) => {
  const fleet = await startFleet({ apps: [QUITTER] });
  const client = await fleet.managed(QUITTER);
  const always = { match, times: Number.POSITIVE_INFINITY };
  fleet.emulator.faults.add({ kind: 'status', status: 503, message: 'away', ...always });
  await fleet.start();
  const rotation = await fleet.rotate(client, { compromised: true });
  await until(
    'its attempts are used up twice',
    async () => ((await fleet.record(client)).rotation?.tries.failed ?? 0) >= 4,
  );
  expect(await fleet.record(client)).toMatchObject({
    halted: null,
    rotation: { id: rotation, tries: { error: expect.stringMatching(/attempts are used up.*away/) } },
  });
  fleet.emulator.faults.clear();
  await fleet.reached(client, rotation);
  const alarms = fleet.lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 'error');
  expect(alarms).toMatchObject([{ client: client.ref, rotation, error: expect.stringContaining('away') }]);
  await expectSound(fleet, [client]);
});

test('a compromise waits for a key folder that cannot be written', async () => {
  const fleet = await startFleet({ apps: [QUITTER] });
  const client = await fleet.foreign(QUITTER);
  await mkdir(dirname(client.folder), { recursive: true });
  await writeFile(client.folder, 'in the way');
  await fleet.start();
  const rotation = await fleet.rotate(client, { compromised: true });
  await until(
    'its attempts are used up twice',
    async () => ((await fleet.record(client)).rotation?.tries.failed ?? 0) >= 4,
  );
  expect(fleet.patches(client)).toEqual([]);
  await rm(client.folder);
  await fleet.reached(client, rotation);
});

test('a compromised client goes ahead of those that wait', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], deployment: { concurrency: 1 } });
  const clients = await Promise.all(Array.from({ length: 6 }, () => fleet.managed(PEM_APP)));
  const [leaked, ...others] = clients;
  if (leaked === undefined) throw new Error('no client');
  const { promise, resolve } = Promise.withResolvers<void>();
  const match = CHANGE;
  const hold = fleet.emulator.faults.add({ kind: 'hold', until: promise, when: 'before', match });
  await fleet.start();
  const { rotations } = await fleet.request({ select: { clients: others.map(({ ref }) => ref) } });
  await until('one of them is being worked on', (saw) => saw(hold.fired) === 1);
  const urgent = await fleet.rotate(leaked, { compromised: true });
  resolve();
  await fleet.reached(leaked, urgent);
  for (const client of others) {
    await fleet.reached(client, rotations.find(({ client: ref }) => ref === client.ref)?.id ?? '');
  }
  const order = fleet.emulator.log.filter(isChange).map(({ client }) => client);
  expect(order.indexOf(leaked.id)).toBe(1);
  await expectSound(fleet, clients);
});
