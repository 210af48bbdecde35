/** A failover to a replica that lags behind forgets a commit. What was built on it is refused, and what came instead stands. */
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { startRotation } from '../../jobs/start.ts';
import { handsFor } from '../../src/rotation/effects.ts';
import { rotate } from '../../src/rotation/loop.ts';
import { clientPolicy, keksOf } from '../../src/rotation/policy.ts';
import { snapshot } from '../store/fixtures.ts';
import { beginRotation } from '../support/begin.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { expectSound } from '../support/sound.ts';

test('a compromise that was acknowledged after the failover is not overwritten by a worker from before it', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const rotation = await beginRotation(fleet, client);
  const { resources } = fleet;
  const { store } = resources;
  const policy = clientPolicy(resources, client.ref);
  if (policy === null) throw new Error('no policy');
  const redis = new Redis(fleet.redis.socketPath);
  onTestFinished(() => redis.disconnect());

  let failOver = async () => {};
  let asked: string | null = null;
  const tools = {
    store,
    ...handsFor(client.ref, policy, resources, keksOf(fleet.config)),
    random: Math.random,
    async onPoint(point: string) {
      // All that the replica had received by then.
      if (point === 'generate:before commit') failOver = await snapshot(redis);
      if (point !== 'deliver:before effect' || asked !== null) return;
      await failOver();
      const report = { actor: 'siem', reason: 'found in a log', request: 'job-1', takeOver: false };
      const request = { ...report, id: 'r2', compromised: { kid: null } };
      asked = (await startRotation(store, client.ref, null, policy, request)).rotation;
    },
  };
  const rest = await rotate(client.ref, policy, tools, new AbortController().signal);
  expect(rest).toMatchObject({ kind: 'outrun' });
  expect(asked).toBe(rotation);
  expect(await fleet.record(client)).toMatchObject({
    rotation: { id: rotation, compromised: { kid: null }, phase: { name: 'requested' } },
    keys: [{ kid: client.key.kid }],
    signers: { delivered: null },
  });
  expect(fleet.patches(client)).toEqual([]);

  await fleet.start();
  await fleet.reached(client, rotation);
  expect((await fleet.audit()).filter(({ type }) => type === 'key.compromised')).toMatchObject([
    { data: { kid: client.key.kid } },
  ]);
  expect(fleet.patches(client)).toHaveLength(1);
  await expectSound(fleet, [client]);
});
