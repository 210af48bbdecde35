/** A new key that leaks before it is in use: what was published is destroyed only when it is shown to be refused. */
import { expect, test } from 'vitest';
import { startRotation } from '../../jobs/start.ts';
import { handsFor } from '../../src/rotation/effects.ts';
import { rotate } from '../../src/rotation/loop.ts';
import { clientPolicy, keksOf } from '../../src/rotation/policy.ts';
import { beginRotation } from '../support/begin.ts';
import { DEPLOYMENT, KID_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { thumbprints } from '../support/published.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const APP = { ...KID_APP, policy: { ...KID_APP.policy, propagation: '1h' } };

test('a leaked new key that was published is destroyed after it is shown to be refused, and not before', async () => {
  const fleet = await startFleet({ apps: [APP] });
  const client = await fleet.managed(APP);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  const rotation = await fleet.rotate(client);
  const { kid: leaked } = await until('the new key soaks', async () => {
    const { phase } = (await fleet.record(client)).rotation ?? {};
    return phase?.name === 'published' && phase;
  });
  await logins.more(1);
  expect((await logins.stop()).refused).toEqual([]);

  // It refuses a key that nobody registered, its successor is proven, and then the issuer goes away.
  const match = { path: /introspect/ };
  const gone = { kind: 'status', status: 503, match, skip: 2, times: Number.POSITIVE_INFINITY } as const;
  fleet.emulator.faults.add(gone);
  expect(await fleet.rotate(client, { compromised: { kid: leaked } })).toBe(rotation);
  const { kid } = await fleet.reached(client, rotation, 'active');
  expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, APP.slug, client.id))).toEqual([kid]);
  const leaving = await until('its proof has failed', async () => {
    const old = (await fleet.record(client)).retirements.find((one) => one.kid === leaked);
    return old !== undefined && old.tries.failed > 2 && old;
  });
  expect(leaving).toMatchObject({ role: 'discarded', phase: 'withdrawn' });
  expect((await fleet.resources.store.sealedHalves(client.ref)).has(leaked)).toBe(true);

  fleet.emulator.faults.clear();
  await fleet.reached(client, rotation);
  await until('it is destroyed', async (saw) =>
    saw(await fleet.record(client)).former.some((key) => key.kid === leaked),
  );
  const told = (await fleet.audit()).filter(({ data }) => data.kid === leaked).map(({ type, data }) => [type, data]);
  expect(told.slice(-3)).toMatchObject([
    ['key.compromised', { from: 'pre-active', to: 'compromised' }],
    ['key.proven', { expected: 'refused', verdict: 'refused' }],
    ['key.destroyed', { from: 'compromised', to: 'destroyed' }],
  ]);
  expect((await fleet.record(client)).former).toContainEqual(
    expect.objectContaining({ kid: leaked, compromised: true }),
  );
  await until('nothing is left to do', async (saw) => saw(await fleet.record(client)).retirements.length === 0);
});

test('a report of the key in use that comes just when a new one is proven replaces both within the same rotation', async () => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  const rotation = await beginRotation(fleet, client);
  const { resources } = fleet;
  const policy = clientPolicy(resources, client.ref);
  if (policy === null) throw new Error('there should be a policy');
  // A worker stands still before signers get the proven key.
  const stop = new AbortController();
  const tools = {
    store: resources.store,
    ...handsFor(client.ref, policy, resources, keksOf(fleet.config)),
    random: Math.random,
    async onPoint(point: string) {
      if (point !== 'deliver:before effect') return;
      if ((await fleet.record(client)).rotation?.phase.name === 'proven') stop.abort();
      stop.signal.throwIfAborted();
    },
  };
  await until('the new key is proven', async () => {
    await rotate(client.ref, policy, tools, stop.signal).catch(() => null);
    return stop.signal.aborted;
  });
  const { phase } = (await fleet.record(client)).rotation ?? {};
  if (phase?.name !== 'proven') throw new Error(`the rotation should be proven, and is ${phase?.name}`);

  // Before any worker goes on.
  const cause = { actor: 'test', reason: 'it leaked', request: 'a report' };
  const asked = { ...cause, id: 'report', compromised: { kid: null }, takeOver: false };
  expect((await startRotation(resources.store, client.ref, null, policy, asked)).rotation).toBe(rotation);
  await fleet.start();
  const { kid } = await fleet.reached(client, rotation);
  const exposed = [client.key.kid, phase.kid];
  expect(exposed).not.toContain(kid);
  const reported = (await fleet.audit()).filter(({ type }) => type === 'key.compromised');
  expect(reported.map(({ data }) => data.kid).sort()).toEqual(exposed.sort());
  await expectSound(fleet, [client]);
});
