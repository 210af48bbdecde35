import { handsFor } from '../../src/rotation/effects.ts';
import { clientPolicy, keksOf } from '../../src/rotation/policy.ts';
import type { Fleet, FleetClient } from './fleet.ts';

/** What a worker works on this client with. */
export function handsOf({ resources, config }: Fleet, { ref }: FleetClient) {
  const policy = clientPolicy(resources, ref);
  if (policy === null) throw new Error('no policy');
  return { policy, ...handsFor(ref, policy, resources, keksOf(config)), random: Math.random };
}
