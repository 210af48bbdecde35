/** What a rollback restores where keys are published under an address. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { DEPLOYMENT, type FleetApp, type FleetClient, KID_APP } from '../support/fleet.ts';
import { type ServedFleet, startServedFleet } from '../support/key-server.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';

const APP: FleetApp = { ...KID_APP, policy: { strategy: 'cutover', format: 'jwks_uri' } };

/** The issuer answers before the cutover, refuses the new key once, and is itself again. */
function refuseNewKey({ emulator }: ServedFleet): void {
  emulator.faults.add({ kind: 'status', status: 401, match: { path: /introspect/ }, skip: 1 });
}

function addressOf({ emulator }: ServedFleet, { id }: FleetClient): string | null {
  return emulator.client(DEPLOYMENT, APP.slug, id).jwks_uri;
}

async function expectSignsIn(fleet: ServedFleet, client: FleetClient): Promise<void> {
  const logins = await startLogins(client, fleet);
  await logins.more(3);
  expect(await logins.stop()).toMatchObject({ refused: [], fallback: 0 });
}

test("a client's own address is put back", async () => {
  const fleet = await startServedFleet(APP);
  const theirs = await fleet.managed(APP, { members: { jwks_uri: fleet.urlOf('theirs') } });
  await mkdir(dirname(fleet.pathOf('theirs')), { recursive: true });
  // Nobody sees the name that a key has in such a set: an imported one is named by its thumbprint.
  const [held] = (await fleet.record(theirs)).keys;
  await writeFile(fleet.pathOf('theirs'), JSON.stringify({ keys: [{ ...theirs.key.jwk, kid: held?.thumbprint }] }));
  await expectSignsIn(fleet, theirs);
  await fleet.start();
  refuseNewKey(fleet);
  const { error } = await fleet.reached(theirs, await fleet.rotate(theirs), 'rolled_back');
  expect(error).toContain('the server refuses the new key');
  expect(addressOf(fleet, theirs)).toBe(fleet.urlOf('theirs'));
  expect(fleet.patches(theirs)).toHaveLength(2);
  await expectSignsIn(fleet, theirs);

  const { kid } = await fleet.reached(theirs, await fleet.rotate(theirs));
  expect(await fleet.served(theirs)).toEqual([kid]);
  await expectSignsIn(fleet, theirs);
});

test('where there was no address, ours stays and serves the keys from before, and that is said', async () => {
  const fleet = await startServedFleet(APP);
  const client = await fleet.managed(APP);
  await fleet.start();
  refuseNewKey(fleet);
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'rolled_back');
  expect(error).toContain('The server goes on showing our jwks_uri, which serves the keys from before');
  expect(await fleet.served(client)).toEqual([client.key.kid]);
  await expectSignsIn(fleet, client);

  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  expect(await fleet.served(client)).toEqual([kid]);
  await expectSound(fleet, [client]);
});
