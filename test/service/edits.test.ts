/** People who change the same client by hand. */

import { expect, test } from 'vitest';
import { FRESH_MS } from '../../src/core/server.ts';
import type { ServiceOptions } from '../../src/runtime/service.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import { beginRotation } from '../support/begin.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const THEIRS = makeKey('ES256');

/** What the server holds of a client, as the `kid`s of its JWK Set. */
function kidsOn(fleet: Fleet, { app, id, ref }: FleetClient): (string | null)[] {
  const deployment = ref.split('/')[0] ?? '';
  return fleet.emulator.client(deployment, app.slug, id).jwks?.keys.map(({ kid }) => kid) ?? [];
}

/** Runs `edit` once, right after the commit which says that the new key is published. */
function oncePublished(edit: () => void): Partial<ServiceOptions> {
  let isDone = false;
  return {
    hooks: {
      onPoint(point) {
        if (point !== 'patch:after commit' || isDone) return;
        isDone = true;
        edit();
      },
    },
  };
}

/** Somebody adds a key of theirs behind those that are there. */
function addTheirs(fleet: Fleet, { app, id, ref }: FleetClient): void {
  const deployment = ref.split('/')[0] ?? '';
  const { jwks } = fleet.emulator.client(deployment, app.slug, id);
  fleet.emulator.edit(deployment, app.slug, id, { jwks: { keys: [...(jwks?.keys ?? []), THEIRS.jwk] } });
}

test('a key that somebody adds before the PATCH is kept', async () => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  const rotation = await beginRotation(fleet, client);
  addTheirs(fleet, client);
  await fleet.start();
  const { kid } = await fleet.reached(client, rotation);
  expect(kidsOn(fleet, client)).toEqual([kid, THEIRS.kid]);
  for (const { body } of fleet.patches(client)) expect(JSON.stringify(body)).toContain(THEIRS.kid);
});

test('a single PEM that somebody replaced before the PATCH gives way to ours, and the log says so', async () => {
  const app = { ...PEM_APP, policy: { ...PEM_APP.policy, format: 'pem' } };
  const fleet = await startFleet({ apps: [app], config: { reconcile_every: '1h' } });
  const client = await fleet.managed(app, { members: ({ pem }) => ({ public_key_pem: pem }) });
  await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  const edit = { jwks: { keys: [{ kty: 'PEM', public_key_pem: THEIRS.pem }] } };
  fleet.emulator.edit(DEPLOYMENT, app.slug, client.id, edit);
  await fleet.reached(client, await beginRotation(fleet, client));
  const told = fleet.lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 'warn');
  expect(told).toMatchObject([
    { client: client.ref, msg: expect.stringContaining('somebody changed the published keys') },
  ]);
  expect((await fleet.audit()).filter(({ type }) => type === 'client.drifted')).toMatchObject([{ client: client.ref }]);
});

test('a key that somebody adds while the issuer is slow to answer is kept', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: { reconcile_every: '1h' } });
  const client = await fleet.managed(PEM_APP);
  const rotation = await beginRotation(fleet, client);
  // Before a cutover the issuer is asked whether it answers. By then the look is older than it may be.
  const match = { path: /introspect/ };
  const edit = { jwks: { keys: [withPem(client.key), withPem(THEIRS)] } };
  fleet.emulator.faults.add({ kind: 'edit', when: 'before', match, client: client.id, edit });
  fleet.emulator.faults.add({ kind: 'latency', when: 'before', match, ms: FRESH_MS + 1_000 });
  await fleet.start();
  const { kid } = await fleet.reached(client, rotation);
  expect(kidsOn(fleet, client)).toEqual([kid, THEIRS.kid]);
  for (const { body } of fleet.patches(client)) expect(JSON.stringify(body)).toContain(THEIRS.kid);
  await expectSound(fleet, [client], [THEIRS]);
});

test('a key that somebody adds while the new one propagates is kept', async () => {
  const app = { ...KID_APP, policy: { ...KID_APP.policy, propagation: '6s' } };
  const fleet = await startFleet({ apps: [app], config: { reconcile_every: '200ms' } });
  const client = await fleet.managed(app);
  await fleet.start(oncePublished(() => addTheirs(fleet, client)));
  const logins = await startLogins(client, fleet);
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  expect(kidsOn(fleet, client)).toEqual([kid, THEIRS.kid]);
  expect((await logins.stop()).refused).toEqual([]);
});

test('a key that somebody adds afterwards is kept by the next rotation', async () => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  addTheirs(fleet, client);
  const { kid } = await fleet.reached(client, await beginRotation(fleet, client));
  expect(kidsOn(fleet, client)).toEqual([kid, THEIRS.kid]);
});

test('a key that somebody takes away while the new one propagates is not put back by a rollback', async () => {
  // Longer than what was read before counts as fresh.
  const app = { ...KID_APP, policy: { ...KID_APP.policy, propagation: '6s' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  addTheirs(fleet, client);
  const rotation = await beginRotation(fleet, client);
  let published: readonly (string | null)[] = [];
  const takeAway = () => {
    published = kidsOn(fleet, client);
    const deployment = client.ref.split('/')[0] ?? '';
    fleet.emulator.edit(deployment, app.slug, client.id, { jwks: { keys: [withPem(client.key)] } });
  };
  await fleet.start(oncePublished(takeAway));
  const { kid } = await fleet.reached(client, rotation, 'rolled_back');
  expect(published).toEqual([client.key.kid, kid, THEIRS.kid]);
  expect(kidsOn(fleet, client)).toEqual([client.key.kid]);
  await expectSound(fleet, [client], [THEIRS]);
});

test.each([PEM_APP, KID_APP])('$slug: an active key that somebody removed is put back beside theirs', async (app) => {
  const fleet = await startFleet({ apps: [app], config: { reconcile_every: '200ms' } });
  const client = await fleet.managed(app);
  await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  const deployment = client.ref.split('/')[0] ?? '';
  fleet.emulator.edit(deployment, app.slug, client.id, { jwks: { keys: [withPem(THEIRS)] } });
  await until('the key is back', () => kidsOn(fleet, client).includes(kid));
  expect(kidsOn(fleet, client)).toEqual([kid, THEIRS.kid]);
  const logins = await startLogins(client, fleet);
  await logins.more(3);
  expect((await logins.stop()).refused).toEqual([]);
  const drifts = (await fleet.audit()).filter(({ type }) => type === 'client.drifted');
  expect(drifts.map(({ client: ref }) => ref)).toEqual([client.ref]);
  await expectSound(fleet, [client], [THEIRS]);
});

test('an answer that shows another document is merged with it and sent again', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await fleet.start();
  const edit = { jwks: { keys: [withPem(THEIRS)] } };
  fleet.emulator.faults.add({ kind: 'edit', edit, when: 'after', match: { ...CHANGE, client: client.id } });
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  expect(fleet.patches(client)).toHaveLength(2);
  expect(kidsOn(fleet, client)).toEqual([kid, THEIRS.kid]);
  await expectSound(fleet, [client], [THEIRS]);
});

test('a second answer in a row that shows another document halts the client until somebody asks again', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: { reconcile_every: '200ms' } });
  const client = await fleet.managed(PEM_APP);
  await fleet.start();
  const edit = { jwks: { keys: [withPem(THEIRS)] } };
  const match = { ...CHANGE, client: client.id };
  fleet.emulator.faults.add({ kind: 'edit', edit, when: 'after', match, times: 2 });
  const rotation = await fleet.rotate(client);
  const { error } = await fleet.reached(client, rotation, 'failed');
  expect(error).toContain('differs from what was sent');
  expect((await fleet.record(client)).halted).toBe(error);
  expect((await fleet.audit()).filter(({ type }) => type === 'client.halted')).toHaveLength(1);
  const alarms = fleet.lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 'error');
  expect(alarms.map((alarm) => [alarm.client, alarm.error])).toContainEqual([client.ref, error]);

  expect(await fleet.rotate(client)).toBe(rotation);
  await fleet.reached(client, rotation);
  expect(fleet.patches(client)).toHaveLength(3);
  await expectSound(fleet, [client], [THEIRS]);
});

test('a list that cannot be read is not an empty list: nothing is sent until it can', async () => {
  const fleet = await startFleet({ apps: [KID_APP], deployment: { timeout: '1s' } });
  const client = await fleet.managed(KID_APP);
  addTheirs(fleet, client);
  const rotation = await beginRotation(fleet, client);
  const lists = { method: 'GET', path: /clients$/ };
  const fault = fleet.emulator.faults.add({
    kind: 'status',
    status: 500,
    match: lists,
    times: Number.POSITIVE_INFINITY,
  });
  await fleet.start();
  await until('three lists failed', async () => ((await fleet.record(client)).rotation?.tries.failed ?? 0) >= 3);
  expect(fault.fired).toBeGreaterThanOrEqual(3);
  expect(fleet.patches(client)).toEqual([]);
  fleet.emulator.faults.clear();
  const { kid } = await fleet.reached(client, rotation);
  expect(kidsOn(fleet, client)).toEqual([kid, THEIRS.kid]);
});

test('a list that can never be read fails the rotation, with nothing sent', async () => {
  const app = { ...KID_APP, policy: { ...KID_APP.policy, attempts: 3 } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  const rotation = await beginRotation(fleet, client);
  const lists = { method: 'GET', path: /clients$/ };
  fleet.emulator.faults.add({ kind: 'status', status: 500, match: lists, times: Number.POSITIVE_INFINITY });
  await fleet.start();
  const { error } = await fleet.reached(client, rotation, 'failed');
  expect(error).toContain('gave up after 3 attempts');
  expect(fleet.patches(client)).toEqual([]);
  expect((await fleet.record(client)).signers.delivered).toMatchObject({ current: expect.any(String) });
});
