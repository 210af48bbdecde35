/** What a rotation asks for when it needs a new key. */
import { expect, test } from 'vitest';
import { startRotation } from '../../jobs/start.ts';
import type { GenerateOptions } from '../../src/keys/generator.ts';
import { handsFor } from '../../src/rotation/effects.ts';
import { rotate } from '../../src/rotation/loop.ts';
import { clientPolicy, keksOf } from '../../src/rotation/policy.ts';
import type { Resources } from '../../src/rotation/resources.ts';
import { beginRotation } from '../support/begin.ts';
import { type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';

function policyOf({ resources }: Fleet, { ref }: FleetClient) {
  const policy = clientPolicy(resources, ref);
  if (policy === null) throw new Error('no policy');
  return policy;
}

function run(fleet: Fleet, client: FleetClient, generateKey: Resources['generateKey'], signal: AbortSignal) {
  const { resources, config } = fleet;
  const policy = policyOf(fleet, client);
  const hands = handsFor(client.ref, policy, { ...resources, generateKey }, keksOf(config));
  return rotate(client.ref, policy, { store: resources.store, ...hands, random: Math.random }, signal);
}

test('a key that replaces a leaked one is urgent, and others are not', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const asked: (GenerateOptions | undefined)[] = [];
  const generateKey: Resources['generateKey'] = (alg, options) => {
    asked.push(options);
    return fleet.resources.generateKey(alg, options);
  };
  const { signal } = new AbortController();
  const [due, leaked] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  await beginRotation(fleet, due);
  await run(fleet, due, generateKey, signal);
  const report = { actor: 'siem', reason: 'found in a log', request: null, takeOver: false };
  const cause = { ...report, id: 'r1', compromised: { kid: null } };
  await startRotation(fleet.resources.store, leaked.ref, null, policyOf(fleet, leaked), cause);
  await run(fleet, leaked, generateKey, signal);
  expect(asked.map((options) => options?.urgent)).toEqual([false, true]);
});

test('a job that is told to stop while its key waits has not failed', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const rotation = await beginRotation(fleet, client);
  const stopping = new AbortController();
  const waits: Resources['generateKey'] = (_alg, { signal } = {}) => {
    const { promise, reject } = Promise.withResolvers<never>();
    signal?.addEventListener('abort', () => reject(signal.reason));
    stopping.abort(new Error('the service stops'));
    return promise;
  };
  await expect(run(fleet, client, waits, stopping.signal)).rejects.toThrow('the service stops');
  expect((await fleet.record(client)).rotation).toMatchObject({ id: rotation, tries: { failed: 0, error: null } });
  await fleet.start();
  await fleet.reached(client, rotation);
});
