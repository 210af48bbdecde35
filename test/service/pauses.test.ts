/** A deployment is paused while its API key is refused. The store alone knows of it, so a pause ends when its reason does. */

import { expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { beginRotation } from '../support/begin.ts';
import { rekeyd, statusOf } from '../support/command.ts';
import { whyPaused } from '../support/deployment.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const FOR_EVER = { times: Number.POSITIVE_INFINITY };

/** That client's PATCH reaches the server when `release` is called. */
function holdPatch({ emulator }: Fleet, { id: client }: FleetClient) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const match = { ...CHANGE, client };
  const hold = emulator.faults.add({ kind: 'hold', until: promise, when: 'before', match });
  return { hold, release: resolve };
}

async function toldOfDeployment(fleet: Fleet): Promise<readonly string[]> {
  return (await fleet.audit()).map(({ type }) => type).filter((type) => type.startsWith('deployment.'));
}

test('one passing 401 beside a PATCH that is accepted pauses nothing', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], deployment: { concurrency: 2 } });
  const [refused, accepted] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const { hold, release } = holdPatch(fleet, accepted);
  fleet.emulator.faults.add({ kind: 'status', status: 401, match: { ...CHANGE, client: refused.id } });
  const first = await beginRotation(fleet, refused);
  const second = await beginRotation(fleet, accepted);
  const service = await fleet.start();
  await until('the other PATCH is under way', (saw) => saw(hold.fired) === 1);
  await fleet.reached(refused, first, 'active');
  release();
  await fleet.reached(accepted, second);
  await service.stop();
  await fleet.start();
  await fleet.reached(refused, first);
  await fleet.reached(refused, await fleet.rotate(refused, { compromised: true }));
  expect(await toldOfDeployment(fleet)).toEqual([]);
  await expectSound(fleet, [refused, accepted]);
});

test('a pause beside a PATCH that is accepted is shown, outlasts a restart, and ends when the API key is accepted', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], deployment: { concurrency: 4 } });
  const clients = await Promise.all(Array.from({ length: 4 }, () => fleet.managed(PEM_APP)));
  const [accepted, ...refused] = clients;
  if (accepted === undefined) throw new Error('no client');
  const { hold, release } = holdPatch(fleet, accepted);
  for (const { id: client } of refused) {
    fleet.emulator.faults.add({ kind: 'status', status: 401, match: { ...CHANGE, client }, ...FOR_EVER });
  }
  const first = await beginRotation(fleet, accepted);
  const service = await fleet.start();
  await until('a PATCH is under way', (saw) => saw(hold.fired) === 1);
  const others = await Promise.all(refused.map(async (client) => [client, await fleet.rotate(client)] as const));
  await until('the deployment is paused', () => whyPaused(fleet));
  release();
  await fleet.reached(accepted, first);
  await service.stop();

  const again = await fleet.start();
  expect(await whyPaused(fleet)).toContain('Authentication failed');
  const { deployments, counts } = await statusOf(fleet);
  expect(deployments).toMatchObject([
    { deployment: DEPLOYMENT, paused: expect.stringContaining('Authentication failed') },
  ]);
  expect(counts).toMatchObject({ paused: refused.length });
  expect(await rekeyd(fleet, 'status')).toContain(`PAUSED  deployment ${DEPLOYMENT}`);

  fleet.emulator.faults.clear();
  for (const [client, rotation] of others) await fleet.reached(client, rotation);
  await until('it is resumed', async (saw) => saw(await whyPaused(fleet)) === null);
  expect(await toldOfDeployment(fleet)).toEqual(['deployment.paused', 'deployment.resumed']);
  await again.stop();
  await expectSound(fleet, clients);
});
