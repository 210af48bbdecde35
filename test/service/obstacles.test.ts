/** What is wrong on our own side stops a rotation before anything is published. */
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startServedFleet } from '../support/key-server.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';

const QUITTER = { ...PEM_APP, policy: { attempts: 3 } };

test('a key encryption key that is gone after a restart: nothing is published until it is back', async () => {
  const fleet = await startFleet({ apps: [QUITTER] });
  const client = await fleet.managed(QUITTER);
  const service = await fleet.start();
  const { kid: before } = await fleet.reached(client, await fleet.rotate(client));
  await service.stop();
  const sent = fleet.patches(client).length;

  const other = { ...fleet.file, encryption: { keks: [{ id: 'kek-2', key: 'env:KEK' }] } };
  const env = { ...fleet.env, KEK: randomBytes(32).toString('base64url') };
  const config = await parseConfig(JSON.stringify(other), { file: fleet.config.file, env });
  const amnesic = await fleet.start({}, config);
  const logins = await startLogins(client, fleet);
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'failed');
  expect(error).toContain('kek-1');
  expect((await fleet.record(client)).failure).toContain('kek-1');
  expect(fleet.patches(client)).toHaveLength(sent);
  await amnesic.stop();

  await fleet.start();
  const { replaces } = await fleet.reached(client, await fleet.rotate(client));
  expect(replaces).toBe(before);
  expect((await logins.stop()).refused).toEqual([]);
});

test('a key folder that cannot be written: nothing is published for that client, and the fleet goes on', async () => {
  const fleet = await startFleet({ apps: [QUITTER] });
  const client = await fleet.foreign(QUITTER);
  const takeOver = { take_over: true };
  const other = await fleet.managed(QUITTER);
  await writeFile(client.folder, 'in the way');
  await fleet.start();
  const [stuck, fine] = [await fleet.rotate(client, takeOver), await fleet.rotate(other)];
  const { error } = await fleet.reached(client, stuck, 'failed');
  expect(error).toContain(client.folder);
  await fleet.reached(other, fine);
  expect(fleet.patches(client)).toEqual([]);

  await rm(client.folder);
  await fleet.reached(client, await fleet.rotate(client, takeOver));
  await expectSound(fleet, [client, other]);
});

/** The issuer goes away, and so does the rotation. */
async function expectUnproven(fleet: Fleet, client: FleetClient): Promise<void> {
  const match = { path: /introspect/ };
  fleet.emulator.faults.add({ kind: 'status', status: 502, match, times: Number.POSITIVE_INFINITY });
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'failed');
  expect(error).toContain('could not be proven');
}

/** It is back: logins go on over the next rotation, which succeeds. */
async function expectGoesOn(fleet: Fleet, client: FleetClient): Promise<void> {
  fleet.emulator.faults.clear();
  const logins = await startLogins(client, fleet);
  await fleet.reached(client, await fleet.rotate(client));
  expect((await logins.stop()).refused).toEqual([]);
  await expectSound(fleet, [client]);
}

test('an issuer that does not answer: no cutover is begun, and the old key signs in when it is back', async () => {
  const fleet = await startFleet({ apps: [QUITTER] });
  const client = await fleet.managed(QUITTER);
  await fleet.start();
  await expectUnproven(fleet, client);
  expect(fleet.patches(client)).toEqual([]);

  await expectGoesOn(fleet, client);
});

test('an issuer that does not answer: the old key stays in the set that we serve', async () => {
  const app = { ...KID_APP, policy: { ...QUITTER.policy, strategy: 'cutover', format: 'jwks_uri' } };
  const fleet = await startServedFleet(app);
  const client = await fleet.managed(app);
  const service = await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  const sets = async () =>
    (await fleet.audit()).filter(({ data }) => data.served === true).map(({ data }) => data.kids);
  const before = await sets();
  // Another worker, to whom the issuer has not just answered.
  await service.stop();
  await fleet.start();
  await expectUnproven(fleet, client);
  expect(await sets()).toEqual(before);
  expect(await fleet.served(client)).toEqual([kid]);

  await expectGoesOn(fleet, client);
});
