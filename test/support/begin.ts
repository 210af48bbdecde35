import { rotationId, startRotation } from '../../jobs/start.ts';
import { outdated } from '../../src/core/server.ts';
import { amend } from '../../src/rotation/loop.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import type { Fleet, FleetClient } from './fleet.ts';

/**
 * Starts a rotation as a request does, but with no service running. What is known of the server counts as old news, so that the rotation looks before it
 * writes.
 * @returns the rotation's id
 */
export async function beginRotation(
  { resources, queues }: Fleet,
  { ref }: FleetClient,
  { tryAlg = false }: { readonly tryAlg?: boolean } = {},
): Promise<string> {
  const { store } = resources;
  const policy = clientPolicy(resources, ref);
  if (policy === null) throw new Error(`${ref} is not known`);
  await amend(ref, (record) => ({ ...record, server: outdated(record.server) }), policy, store);
  const cause = { actor: 'test', reason: 'a test', request: null, compromised: null, takeOver: false };
  const { rotation } = await startRotation(store, ref, null, policy, {
    ...cause,
    tryAlg,
    id: rotationId(store, `test ${Date.now()}`, ref),
  });
  await queues.wake(ref, false);
  return rotation;
}
