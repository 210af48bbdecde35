/** Sets that rekeyd serves itself, under `jwks_uri`. */
import { access, readFile, rm, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { goodClaims, introspect, sign } from '../emulator/testing.ts';
import { DEPLOYMENT, type FleetApp, KID_APP } from '../support/fleet.ts';
import { startServedFleet } from '../support/key-server.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const APP: FleetApp = { ...KID_APP, policy: { strategy: 'overlap', format: 'jwks_uri' } };

test('keys under jwks_uri are rotated without a refused login', async () => {
  const fleet = await startServedFleet(APP);
  const client = await fleet.managed(APP);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  await fleet.reached(client, await fleet.rotate(client));
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ refused: [] });
  expect(await fleet.served(client)).toEqual([kid]);
});

test('a set under jwks_uri never holds a compromised foreign key again, though the server goes on showing that key', async () => {
  const fleet = await startServedFleet(APP);
  const client = await fleet.foreign(APP);
  const service = await fleet.start();
  const first = await fleet.reached(client, await fleet.rotate(client, { compromised: true }));
  expect(await fleet.served(client)).toEqual([first.kid]);
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  expect(await fleet.served(client)).toEqual([kid]);
  await service.stop();

  await rm(fleet.fileOf(client));
  const again = await fleet.start();
  await until('the set is back', () =>
    access(fleet.fileOf(client)).then(
      () => true,
      () => false,
    ),
  );
  expect(await fleet.served(client)).toEqual([kid]);
  expect(fleet.emulator.client(DEPLOYMENT, APP.slug, client.id).jwks?.keys[0]?.kid).toBe(client.key.kid);
  const host = `${APP.slug}.example.com`;
  const withStolen = async () => {
    const claims = goodClaims(client.clientId, host, '/oauth/introspect');
    return introspect(fleet.emulator, host, client.clientId, await sign(client.key, claims, { kid: client.key.kid }));
  };
  expect((await withStolen()).status).toBe(400);
  await expectSound(fleet, [client]);

  // Put into the set by hand, it is found there, and signs in.
  await again.stop();
  const set = JSON.parse(await readFile(fleet.fileOf(client), 'utf8'));
  await writeFile(fleet.fileOf(client), JSON.stringify({ keys: [...set.keys, client.key.jwk] }));
  expect(await fleet.served(client)).toEqual([kid, client.key.kid]);
  expect((await withStolen()).status).toBe(200);
});

test('jwks_uri is refused beside foreign keys, and taken once those were retired', async () => {
  const app = { ...APP, policy: { ...APP.policy, foreign_keys: 'retire' } };
  const fleet = await startServedFleet(app);
  const client = await fleet.foreign(app);
  const takeOver = { take_over: true };
  const eager = await fleet.start();
  const { error } = await fleet.reached(client, await fleet.rotate(client, takeOver), 'failed');
  expect(error).toContain('Rotate with format: jwks and foreign_keys: retire first');
  expect(fleet.patches(client)).toEqual([]);
  await eager.stop();

  const asSet = JSON.parse(JSON.stringify(fleet.file).replace('"jwks_uri"', '"jwks"'));
  const patient = await fleet.start({}, await fleet.configOf(asSet));
  await fleet.reached(client, await fleet.rotate(client, takeOver));
  await patient.stop();

  await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  expect(await fleet.served(client)).toEqual([kid]);
  await expectSound(fleet, [client]);
});
