/**
 * Takes in the clients of a policy that are not known yet. They are only noted: a schedule rotates them when they are enrolled. Where the policy says
 * `adopt: take_over` or `overlap` it begins with them at once, as with a wave of their own. Comes after each sweep, as a job of its own: the lists of a large fleet take longer than all that is due.
 */
import { policyFor } from '../src/config/lookup.ts';
import type { ClientRef } from '../src/core/client.ts';
import { isEligible } from '../src/core/due.ts';
import type { Cause } from '../src/core/history.ts';
import { inParallel, pagesOf } from '../src/parallel.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import { openRun } from './begin-due.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { type Listed, readNowAndThen, type Wanted } from './listing.ts';
import { departedApps, knownBefore } from './renamed.ts';
import type { Discover } from './schemas.ts';
import { type Apps, byDeployment, noteUnread } from './selection.ts';
import { takeFound } from './start.ts';
import { beginDue } from './wave.ts';

export interface DiscoverResult {
  readonly found: number;
  readonly started: number;
}

/** @throws the first failure, after every app that can be read: the job is tried again for the rest */
export async function discover({ policy, slot }: Discover, context: JobContext): Promise<DiscoverResult> {
  const { resources, log } = context;
  const failures: unknown[] = [];
  const fresh: ClientRef[] = [];
  await Promise.all(
    byDeployment(appsOf(context, policy)).map(async ([deployment, slugs]) => {
      try {
        for (const app of slugs) await discoverApp(deployment, app, policy, fresh, context);
      } catch (error) {
        // An API that hangs is asked once.
        await noteUnread(deployment, error, context);
        failures.push(error);
      }
    }),
  );
  const started = await beginFresh(fresh, policy, slot, context);
  if (fresh.length > 0) {
    await resources.guard.remember();
    // What becomes of them was told at the start, and is told at the next one.
    log.info({ policy, clients: fresh.length }, 'clients were found: `rekeyd status` lists them');
  }
  if (failures.length > 0) throw failures[0];
  return { found: fresh.length, started };
}

/** Takes the new clients of an app in, and adds them to `fresh`. */
async function discoverApp(
  deployment: string,
  app: string,
  policy: string,
  fresh: ClientRef[],
  context: JobContext,
): Promise<void> {
  const isNew: Wanted = (client, ref, seen) =>
    seen === null && isEligible(client) && policyFor(context.resources.config, ref)?.name === policy;
  const listing = await readNowAndThen(context, deployment, app, isNew);
  if (listing === null || listing.clients.size === 0) return;
  const departed = await departedApps(context.resources);
  for (const page of pagesOf(listing.clients)) {
    const { taken } = await takeNew(page, { actor: `schedule:${policy}`, reason: IN_LIST }, departed, context);
    // A page at a time: with the clients of a whole app, `push` gets more arguments than the stack holds.
    fresh.push(...taken);
  }
}

async function beginFresh(
  fresh: readonly ClientRef[],
  policy: string,
  slot: string,
  context: JobContext,
): Promise<number> {
  const adopt = context.resources.config.policies[policy]?.adopt ?? 'import';
  if (fresh.length === 0 || adopt === 'import') return 0;
  return beginDue(openRun(policy, slot, context), { due: async () => fresh, areAll: false, isTick: false });
}

function appsOf({ resources }: JobContext, policy: string): Apps {
  return resources.config.deployments.flatMap((deployment) =>
    deployment.apps
      .filter((app) =>
        app.clients === 'all' ? app.policy === policy : app.clients.some((client) => client.policy === policy),
      )
      .map((app) => ({ deployment: deployment.id, app: app.slug })),
  );
}

/** Why a client is taken in that nobody asked for. */
export const IN_LIST = 'found in the client list';

export interface TakenIn {
  /** The clients that this call took in. */
  readonly taken: readonly ClientRef[];
  /** The clients that are known under another name, with that name. They are left alone: see {@link knownBefore}. */
  readonly renamed: ReadonlyMap<ClientRef, ClientRef>;
}

/**
 * @param page clients that the store does not know
 * @param departed as {@link departedApps} answers
 */
export async function takeNew(
  page: readonly (readonly [ClientRef, Listed])[],
  by: Pick<Cause, 'actor' | 'reason'>,
  departed: readonly string[],
  { resources }: JobContext,
): Promise<TakenIn> {
  const taken: ClientRef[] = [];
  const renamed = await knownBefore(
    page.map(([ref, { client }]) => [ref, client]),
    departed,
    resources,
  );
  await inParallel(page, FLEET_LANES, async ([ref, listed]) => {
    const policy = clientPolicy(resources, ref);
    if (policy === null || renamed.has(ref)) return;
    if (await takeFound(resources.store, ref, listed, policy, { ...by, request: null })) taken.push(ref);
  });
  return { taken, renamed };
}
