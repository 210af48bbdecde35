/**
 * Takes in the clients of a policy that are not known yet, and starts a rotation for those of them that are due at once. Comes after each sweep, as a
 * job of its own: the lists of a large fleet take longer than all that is due, and nothing that is due waits for them.
 */
import { policyFor } from '../src/config/model.ts';
import type { ClientRef } from '../src/core/client.ts';
import { isEligible } from '../src/core/due.ts';
import { messageOf } from '../src/errors.ts';
import { inParallel } from '../src/parallel.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import { FLEET_LANES, type JobContext, noteApiFailure } from './context.ts';
import { type Listed, pagesOf, readListing, type Wanted } from './listing.ts';
import type { Discover } from './schemas.ts';
import { adoptClient } from './start.ts';
import { startDue } from './sweep.ts';

export interface DiscoverResult {
  readonly adopted: number;
  readonly started: number;
}

/** @throws the first failure, after every app whose list can be read: the job is tried again for the rest */
export async function discover({ policy, slot }: Discover, context: JobContext): Promise<DiscoverResult> {
  const { config } = context.parts;
  const failures: unknown[] = [];
  let adopted = 0;
  let started = 0;
  for (const { deployment, app } of appsOf(context, policy)) {
    try {
      const isNew: Wanted = (client, ref, seen) =>
        seen === null && isEligible(client) && policyFor(config, ref)?.name === policy;
      const { clients } = await readListing(context, deployment, app, isNew);
      for (const page of pagesOf(clients)) {
        const fresh = await adoptNew(page, policy, context);
        adopted += fresh.length;
        started += await startDue(fresh, policy, slot, context);
      }
    } catch (error) {
      await noteApiFailure(context, deployment, error);
      context.log.warn({ deployment, app, error: messageOf(error) }, 'new clients cannot be taken in');
      failures.push(error);
    }
  }
  if (adopted > 0) await context.parts.identity.remember();
  if (failures.length > 0) throw failures[0];
  return { adopted, started };
}

function appsOf({ parts }: JobContext, policy: string): readonly { deployment: string; app: string }[] {
  return parts.config.deployments.flatMap((deployment) =>
    deployment.apps
      .filter((app) =>
        app.clients === 'all' ? app.policy === policy : app.clients.some((client) => client.policy === policy),
      )
      .map((app) => ({ deployment: deployment.id, app: app.slug })),
  );
}

/** @returns those that this call adopted */
async function adoptNew(
  page: readonly (readonly [ClientRef, Listed])[],
  policyName: string,
  { parts }: JobContext,
): Promise<readonly ClientRef[]> {
  const adopted: ClientRef[] = [];
  await inParallel(page, FLEET_LANES, async ([ref, { client }]) => {
    const policy = clientPolicy(parts, ref);
    if (policy === null) return;
    const cause = { actor: `schedule:${policyName}`, reason: 'found in the client list', request: null };
    if (await adoptClient(parts.store, ref, client, policy, cause)) adopted.push(ref);
  });
  return adopted;
}
