/** A 403 is that client's own failure. Only when it meets one client after the other is it about the API key. */

import { expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { isChange } from '../emulator/log.ts';
import { beginRotation } from '../support/begin.ts';
import { whyPaused } from '../support/deployment.ts';
import { type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

function forbid({ emulator }: Fleet, { id: client }: FleetClient): void {
  const match = { ...CHANGE, client };
  emulator.faults.add({ kind: 'status', status: 403, match, times: Number.POSITIVE_INFINITY });
}

test('a client that is forbidden fails alone, and is tried again after those who were not tried yet', async () => {
  const app = { ...PEM_APP, policy: { attempts: 2 } };
  const backoff = { base: '3s', max: '3s' };
  const fleet = await startFleet({ apps: [app], deployment: { concurrency: 1, backoff } });
  const forbidden = await fleet.managed(app);
  const others = await Promise.all(Array.from({ length: 4 }, () => fleet.managed(app)));
  forbid(fleet, forbidden);
  const { promise: isDueAgain, resolve } = Promise.withResolvers<void>();
  const match = { ...CHANGE, client: others[0]?.id ?? '' };
  fleet.emulator.faults.add({ kind: 'hold', until: isDueAgain, when: 'before', match });
  const failing = await beginRotation(fleet, forbidden);
  const rotations: [FleetClient, string][] = [];
  for (const client of others) rotations.push([client, await beginRotation(fleet, client)]);
  await fleet.start();
  const logins = await startLogins(forbidden, { ...fleet, everyMs: 50 });
  await until('the forbidden one is due again', async () => {
    const { notBefore = 0 } = (await fleet.record(forbidden)).rotation?.tries ?? {};
    return notBefore > 0 && notBefore < (await fleet.resources.store.now());
  });
  resolve();
  for (const [client, rotation] of rotations) await fleet.reached(client, rotation);
  const { error } = await fleet.reached(forbidden, failing, 'failed');
  expect(error).toContain('gave up after 2 attempts: Permission denied');
  const order = fleet.emulator.log.filter(isChange).map(({ client }) => client);
  expect(order).toEqual([forbidden, ...others, forbidden].map(({ id }) => id));
  expect((await fleet.audit()).map(({ type }) => type)).not.toContain('deployment.paused');
  expect((await logins.stop()).refused).toEqual([]);
  await expectSound(fleet, others);
});

test('three clients in a row that are forbidden pause their deployment until one is accepted', async () => {
  const app = { ...PEM_APP, policy: { attempts: 100 } };
  const fleet = await startFleet({ apps: [app], deployment: { concurrency: 1 } });
  const forbidden = await Promise.all([fleet.managed(app), fleet.managed(app), fleet.managed(app)]);
  for (const client of forbidden) forbid(fleet, client);
  await fleet.start();
  const [first, second, third] = forbidden;
  if (first === undefined || second === undefined || third === undefined) throw new Error('no clients');
  const rotations = [[first, await fleet.rotate(first)] as const, [second, await fleet.rotate(second)] as const];
  await until('two were forbidden twice', () => [first, second].every((client) => fleet.patches(client).length >= 2));
  expect(await whyPaused(fleet)).toBeNull();
  rotations.push([third, await fleet.rotate(third)]);
  await until('the deployment is paused', async (saw) => saw(await whyPaused(fleet))?.includes('Permission denied'));
  fleet.emulator.faults.clear();
  for (const [client, rotation] of rotations) await fleet.reached(client, rotation);
  await until('it is resumed', async (saw) => saw(await whyPaused(fleet)) === null);
  const told = (await fleet.audit()).map(({ type }) => type).filter((type) => type.startsWith('deployment.'));
  expect(told).toEqual(['deployment.paused', 'deployment.resumed']);
  await expectSound(fleet, forbidden);
});
