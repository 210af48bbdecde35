/** An on-demand request: fans out to the clients that it selects. */
import { policyFor } from '../src/config.ts';
import type { ClientRef } from '../src/core/client.ts';
import { isEligible } from '../src/core/due.ts';
import { hasCode, messageOf, RekeydError } from '../src/errors.ts';
import { inParallel } from '../src/parallel.ts';
import { clientPolicy } from '../src/world.ts';
import { FLEET_LANES, type JobContext, noteApiFailure } from './context.ts';
import { type Listed, readListing } from './listing.ts';
import type { Request } from './schemas.ts';
import { rotationId, startRotation } from './start.ts';

export interface RequestResult {
  readonly rotations: readonly { readonly id: string; readonly client: ClientRef }[];
  /** Clients for which nothing was started, and why. Absent when there are none. */
  readonly errors?: readonly { readonly client: string; readonly message: string }[];
}

/** @param job the job's id: a retry of the same job asks for the same rotations */
export async function fanOut(asked: Request, job: string, context: JobContext): Promise<RequestResult> {
  const { parts, queues } = context;
  const named = 'clients' in asked.select;
  const targets = await selectClients(asked.select, context);
  const rotations: { id: string; client: ClientRef }[] = [];
  const errors: { client: string; message: string }[] = [];
  const compromised =
    asked.compromised === false ? null : { kid: asked.compromised === true ? null : asked.compromised.kid };
  await inParallel(targets, FLEET_LANES, async ([ref, found]) => {
    const policy = clientPolicy(parts, ref);
    if (policy === null) {
      errors.push({
        client: ref,
        message: `The config has no policy for ${ref}. Add its app (and the client, unless clients: all).`,
      });
      return;
    }
    // Somebody who names a client gets the server's own answer; a whole app leaves out what keys cannot be rotated for.
    if (!named && (found === null || !isEligible(found.client))) return;
    try {
      const cause = { actor: asked.actor, reason: asked.reason, request: job, compromised };
      const id = await startRotation(parts.store, ref, found, policy, { ...cause, id: rotationId(job, ref) });
      await queues.wake(ref, id, compromised !== null);
      rotations.push({ id, client: ref });
    } catch (error) {
      if (!hasCode(error, 'not_found')) throw error;
      errors.push({ client: ref, message: messageOf(error) });
    }
  });
  await parts.identity.remember();
  rotations.sort((a, b) => (a.client < b.client ? -1 : 1));
  return errors.length === 0 ? { rotations } : { rotations, errors };
}

/** The selected clients as the server lists them now, null for those it does not list. Each app's list is read once. */
async function selectClients(
  select: Request['select'],
  context: JobContext,
): Promise<ReadonlyMap<ClientRef, Listed | null>> {
  if ('clients' in select) {
    const listed = await listApps(context, (app) => select.clients.some((ref) => ref.startsWith(`${app}/`)));
    return new Map(select.clients.map((ref) => [ref, listed.get(ref) ?? null]));
  }
  const { config } = context.parts;
  if ('policy' in select && config.policies[select.policy] === undefined) {
    throw new RekeydError(
      'job_invalid',
      `The config has no policy ${select.policy}. It has: ${Object.keys(config.policies).join(', ')}.`,
    );
  }
  const listed = await listApps(context, (app) => !('app' in select) || select.app === app);
  if ('app' in select && !knowsApp(context, select.app)) {
    throw new RekeydError(
      'job_invalid',
      `The config has no app ${select.app}. Write deployment/app-slug as they stand in the config.`,
    );
  }
  if (!('policy' in select)) return listed;
  return new Map([...listed].filter(([ref]) => policyFor(config, ref)?.name === select.policy));
}

function knowsApp({ parts }: JobContext, place: string): boolean {
  return parts.config.deployments.some(({ id, apps }) => apps.some(({ slug }) => `${id}/${slug}` === place));
}

async function listApps(context: JobContext, wanted: (place: string) => boolean): Promise<Map<ClientRef, Listed>> {
  const listed = new Map<ClientRef, Listed>();
  for (const deployment of context.parts.config.deployments) {
    for (const app of deployment.apps) {
      if (!wanted(`${deployment.id}/${app.slug}`)) continue;
      try {
        const { clients } = await readListing(context, deployment.id, app.slug);
        for (const [ref, found] of clients) listed.set(ref, found);
      } catch (error) {
        await noteApiFailure(context, deployment.id, error);
        throw error;
      }
    }
  }
  return listed;
}
