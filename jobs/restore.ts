/**
 * Puts back what a disk lost behind our backs: sets of private keys that a sink no longer has, public sets that are no longer served. A folder in memory
 * is empty after a reboot, a volume is mounted anew, somebody tidies up; the records go on saying that everything is in its place.
 */
import type { ClientRef } from '../src/core/client.ts';
import { inParallel } from '../src/parallel.ts';
import { forget } from '../src/rotate.ts';
import { clientPolicy } from '../src/world.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { PAGE } from './listing.ts';
import { wakeUnfinished } from './reconcile.ts';

/** Looks at the folders of this machine once; the rotation jobs of those clients do the rest. Returns for how many something was lost. */
export async function restoreLost(context: JobContext, signal: AbortSignal): Promise<number> {
  const { config } = context.parts;
  let lost = 0;
  for (const app of config.deployments.flatMap(({ id, apps }) => apps.map(({ slug }) => `${id}/${slug}`))) {
    lost += await restoreApp(app, context, signal);
  }
  if (lost > 0) {
    context.log.warn({ clients: lost }, 'keys were no longer where they had been delivered: they are put back');
    await wakeUnfinished(context);
  }
  return lost;
}

async function restoreApp(app: string, context: JobContext, signal: AbortSignal): Promise<number> {
  const { store, sinks, folder } = context.parts;
  const sets = await Promise.all(sinks.map((sink) => sink.holders(app)));
  const isPublic = (await folder?.holders(app)) ?? (() => true);
  let lost = 0;
  let last: ClientRef | null = null;
  do {
    signal.throwIfAborted();
    const page: readonly ClientRef[] = await store.appRefs(app, PAGE, last);
    last = page.at(-1) ?? null;
    const hasSet = (ref: ClientRef) => sets.every((holds) => holds(ref));
    // A client whose keys nobody manages yet has nothing anywhere, and a fleet may have many of those.
    const suspects = await store.withKeys(page.filter((ref) => !hasSet(ref) || !isPublic(ref)));
    await inParallel(suspects, FLEET_LANES, async (ref) => {
      if (await forgetLost(ref, { set: hasSet(ref), public: isPublic(ref) }, context)) lost += 1;
    });
  } while (last !== null);
  return lost;
}

/** True when the record took something for present that is not there; from now on it says that nothing is known. */
async function forgetLost(
  ref: ClientRef,
  found: { readonly set: boolean; readonly public: boolean },
  { parts }: JobContext,
): Promise<boolean> {
  const policy = clientPolicy(parts, ref);
  const loaded = await parts.store.load(ref);
  if (policy === null || loaded === null) return false;
  const { delivered, served } = loaded.record;
  const isSetLost = !found.set && delivered !== null && Object.values(delivered).some((kid) => kid !== null);
  const isPublicLost = !found.public && served !== null;
  if (!isSetLost && !isPublicLost) return false;
  const unknown = { ...(isSetLost && { delivered: null }), ...(isPublicLost && { served: null }) };
  await forget(ref, unknown, policy, parts.store);
  return true;
}
