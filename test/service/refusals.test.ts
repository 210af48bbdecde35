/** What the server will not do, and what the policy cannot have: one client fails, the fleet goes on. */

import { expect, test } from 'vitest';
import { isChange } from '../emulator/log.ts';
import { beginRotation } from '../support/begin.ts';
import { whyPaused } from '../support/deployment.ts';
import { apiKeyOf, DEPLOYMENT, type FleetApp, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

test.each([401, 403])('an API key refused with %i pauses its deployment until it is accepted again', async (status) => {
  const other = { ...KID_APP, slug: 'other-app', deployment: '4711' };
  const fleet = await startFleet({ apps: [PEM_APP, other], config: { reconcile_every: '300ms' } });
  const stuck = await Promise.all([fleet.managed(PEM_APP), fleet.managed(PEM_APP), fleet.managed(PEM_APP)]);
  const free = await fleet.managed(other);
  const rotations = await Promise.all(
    stuck.map(async (client) => [client, await beginRotation(fleet, client)] as const),
  );
  fleet.emulator.faults.add({
    kind: 'status',
    status,
    match: { deployment: DEPLOYMENT },
    times: Number.POSITIVE_INFINITY,
  });
  await fleet.start();
  const paused = async () => (await fleet.audit()).filter(({ type }) => type === 'deployment.paused');
  await until('the deployment is paused', async (saw) => saw(await paused()).length > 0);
  await fleet.reached(free, await fleet.rotate(free));
  expect(await paused()).toMatchObject([{ client: null, data: { deployment: DEPLOYMENT } }]);
  const patches = fleet.emulator.log.filter((call) => isChange(call) && call.status === status);
  expect(patches.length, 'a handful that were under way').toBeLessThanOrEqual(stuck.length);

  fleet.emulator.faults.clear();
  for (const [client, rotation] of rotations) await fleet.reached(client, rotation);
  await until('it is resumed', async (saw) => saw(await whyPaused(fleet)) === null);
  const resumed = (await fleet.audit()).filter(({ type }) => type === 'deployment.resumed');
  expect(resumed).toMatchObject([{ data: { deployment: DEPLOYMENT } }]);
  expect(fleet.lines.join('')).not.toContain(apiKeyOf(DEPLOYMENT));
  await expectSound(fleet, [...stuck, free]);
});

test('an API key that may read but not write raises one alarm, however often it is tried', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: { reconcile_every: '200ms' } });
  const clients = await Promise.all([fleet.managed(PEM_APP), fleet.managed(PEM_APP), fleet.managed(PEM_APP)]);
  fleet.emulator.setApiKey(DEPLOYMENT, apiKeyOf(DEPLOYMENT), 'read');
  await fleet.start();
  const rotations = await Promise.all(clients.map(async (client) => [client, await fleet.rotate(client)] as const));
  await until('the deployment is paused', () => whyPaused(fleet));
  const patches = () => fleet.emulator.log.filter(({ method }) => method === 'PATCH').length;
  const before = patches();
  await until('the key was tried again', (saw) => saw(patches()) > before);
  const told = async () =>
    (await fleet.audit()).map(({ type }) => type).filter((type) => type.startsWith('deployment.'));
  expect(await told()).toEqual(['deployment.paused']);
  fleet.emulator.setApiKey(DEPLOYMENT, apiKeyOf(DEPLOYMENT));
  for (const [client, rotation] of rotations) await fleet.reached(client, rotation);
  await until('it is resumed', async (saw) => saw(await whyPaused(fleet)) === null);
  expect(await told()).toEqual(['deployment.paused', 'deployment.resumed']);
  await expectSound(fleet, clients);
});

test('a pause ends although a client waits for the end of a long overlap and nothing else is to be done', async () => {
  const slow: FleetApp = { ...PEM_APP, policy: { overlap: '1h' } };
  const fleet = await startFleet({ apps: [slow], config: { reconcile_every: '200ms' } });
  const client = await fleet.managed(slow);
  await fleet.start();
  await fleet.reached(client, await fleet.rotate(client), 'active');
  await fleet.resources.store.pause(DEPLOYMENT, 'the API key was refused', []);
  await until('it is resumed', async (saw) => saw(await whyPaused(fleet)) === null);
});

test('a named client that was deleted, or signs in another way, fails and says why', async () => {
  const fleet = await startFleet();
  const [deleted, gone, good] = [
    await fleet.managed(PEM_APP),
    await fleet.managed(PEM_APP),
    await fleet.managed(PEM_APP),
  ];
  const basic = await fleet.foreign(PEM_APP, { members: { client_auth_method: 'client_secret_basic' } });
  for (const { ref } of [deleted, gone]) await fleet.resources.deployments.get(DEPLOYMENT)?.wacht.deactivateClient(ref);
  await fleet.start();
  const unknown = `${DEPLOYMENT}/${PEM_APP.slug}/1`;
  const { rotations, errors } = await fleet.request({
    select: { clients: [deleted.ref, basic.ref, good.ref, unknown] },
    take_over: true,
  });
  expect(errors).toEqual([
    { client: unknown, message: expect.stringContaining('lists no client') },
    { client: basic.ref, message: expect.stringContaining('only private_key_jwt has keys') },
  ]);
  const idOf = (ref: string) => rotations.find(({ client }) => client === ref)?.id ?? '';
  // In the words of the server, or ours, when upkeep has noticed it by then.
  expect((await fleet.reached(deleted, idOf(deleted.ref), 'failed')).error).toMatch(/inactive|not active/);
  await fleet.reached(good, idOf(good.ref));
  await expectSound(fleet, [good]);

  // Of a whole fleet, those that cannot be rotated are left out.
  await until('upkeep has noticed', async () => !(await fleet.record(gone)).server.observed.client.active);
  const everybody = (await fleet.request({ select: { all: true } })).rotations.map(({ client }) => client);
  expect(everybody).toContain(good.ref);
  for (const { ref } of [basic, gone]) expect(everybody).not.toContain(ref);
});

test('a request about nobody fails, and one about some unknown clients says so in log and audit', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const good = await fleet.managed(PEM_APP);
  await fleet.start();
  const [first, second] = [`${DEPLOYMENT}/${PEM_APP.slug}/1`, `${DEPLOYMENT}/${PEM_APP.slug}/2`];
  await expect(fleet.request({ select: { clients: [first, second] } })).rejects.toThrow(
    /Nothing was started: no client that is named is known\. .*lists no client .*\/1.*\/2/,
  );
  const { rotations, errors } = await fleet.request({ select: { clients: [good.ref, first] }, reason: 'a list' });
  expect(errors).toEqual([{ client: first, message: expect.stringContaining('lists no client') }]);
  await fleet.reached(good, rotations[0]?.id ?? '');
  const refused = (await fleet.audit()).filter(({ type }) => type === 'rotation.refused');
  expect(refused).toMatchObject([
    { client: null, actor: 'test', data: { clients: [second, first].sort(), count: 2, code: 'not_found' } },
    {
      client: null,
      reason: 'a list',
      data: { clients: [first], count: 1, error: expect.stringContaining('lists no') },
    },
  ]);
  const told = fleet.lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg.includes('nobody knows'));
  expect(told).toMatchObject([{ level: 'warn', clients: [first], count: 1 }]);
  await expectSound(fleet, [good]);
});

test('an alg that the server cannot verify is rolled back, and the old key signs in again', async () => {
  const app = { ...PEM_APP, policy: { alg: 'EdDSA' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  const { error, kid } = await fleet.reached(client, await fleet.rotate(client, { try_alg: true }), 'rolled_back');
  expect(error).toContain('InvalidSignature');
  const logins = await startLogins(client, fleet);
  await logins.more(3);
  expect(await logins.stop()).toMatchObject({ refused: [], fallback: 0 });
  await until(
    'the new key is destroyed',
    async () => !(await fleet.resources.store.sealedHalves(client.ref)).has(kid ?? ''),
  );
  await until('nothing is left to do', async (saw) => saw(await fleet.resources.store.openWork()).length === 0);
  await expectSound(fleet, [client]);
});

test('an overlap that would change the alg fails with what to do, and nothing is published', async () => {
  const app = { ...KID_APP, policy: { strategy: 'overlap', alg: 'ES384' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'failed');
  expect(error).toContain('Set strategy: auto');
  expect(fleet.patches(client)).toEqual([]);
  expect((await fleet.record(client)).failure).toBe(error);
});
