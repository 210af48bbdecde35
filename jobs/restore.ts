/**
 * Puts right what happened to folders behind our backs: sets of private keys, and public sets, that are gone or not the ones that were delivered. A folder
 * in memory is empty after a reboot, a volume is restored from an older copy, a sink was left out of the config for a while; the records go on saying that
 * everything is in its place.
 */
import type { ClientRef } from '../src/core/client.ts';
import { unknownDelivery } from '../src/core/delivering.ts';
import type { PublicJwk } from '../src/core/document.ts';
import type { ClientRecord } from '../src/core/record.ts';
import { type Delivery, desiredDelivery, sameDelivery } from '../src/core/signers.ts';
import { inParallel } from '../src/parallel.ts';
import { amend } from '../src/rotation/loop.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { PAGE } from './listing.ts';
import { wakeUnfinished } from './reconcile.ts';

/** Looks at the folders of this machine once; the rotation jobs of those clients do the rest. Returns for how many something was not as it should be. */
export async function restoreLost(context: JobContext, signal: AbortSignal): Promise<number> {
  const { config } = context.resources;
  let lost = 0;
  for (const app of config.deployments.flatMap(({ id, apps }) => apps.map(({ slug }) => `${id}/${slug}`))) {
    lost += await restoreApp(app, context, signal);
  }
  if (lost > 0) {
    context.log.warn(
      { clients: lost },
      'folders did not hold the keys that had been delivered: they are delivered again',
    );
    await wakeUnfinished(context);
  }
  return lost;
}

/** What the folders of an app hold, asked for one client at a time. */
interface Found {
  readonly sets: readonly ((ref: ClientRef) => Promise<Delivery | null>)[];
  readonly publicSet: ((ref: ClientRef) => Promise<readonly PublicJwk[] | null>) | null;
}

async function restoreApp(app: string, context: JobContext, signal: AbortSignal): Promise<number> {
  const { store, sinks, folder } = context.resources;
  const found: Found = {
    sets: await Promise.all(sinks.map((sink) => sink.sets(app))),
    publicSet: (await folder?.sets(app)) ?? null,
  };
  let lost = 0;
  let last: ClientRef | null = null;
  do {
    signal.throwIfAborted();
    const page: readonly ClientRef[] = await store.appRefs(app, PAGE, last);
    last = page.at(-1) ?? null;
    // A client whose keys nobody manages yet has nothing anywhere, and a fleet may have many of those.
    await inParallel(await store.withKeys(page), FLEET_LANES, async (ref) => {
      if (await forgetLost(ref, found, context)) lost += 1;
    });
  } while (last !== null);
  return lost;
}

/** True when the record took something for present that is not there; from now on it says that nothing is known. */
async function forgetLost(ref: ClientRef, found: Found, { resources }: JobContext): Promise<boolean> {
  const { store } = resources;
  const policy = clientPolicy(resources, ref);
  const loaded = await store.load(ref);
  if (policy === null || loaded === null) return false;
  const isSetLost = await hasLostSet(loaded.record, found);
  const isPublicLost = await hasLostPublicSet(loaded.record, found);
  if (!isSetLost && !isPublicLost) return false;
  const forget = (record: ClientRecord): ClientRecord => {
    const known = isSetLost ? unknownDelivery(record) : record;
    return isPublicLost ? { ...known, server: { ...known.server, served: null } } : known;
  };
  await amend(ref, forget, policy, store);
  return true;
}

async function hasLostSet(record: ClientRecord, { sets }: Found): Promise<boolean> {
  const { delivered } = record.signers;
  if (delivered === null || Object.values(delivered).every((kid) => kid === null)) return false;
  // What is to be replaced anyway may just have been, by a worker that has yet to commit that.
  if (!sameDelivery(delivered, desiredDelivery(record))) return false;
  // A key that was left out since it could not be opened is missing too: it may be there again.
  const held = await Promise.all(sets.map((read) => read(record.ref)));
  return held.some((delivery) => !sameDelivery(delivery, delivered));
}

async function hasLostPublicSet(record: ClientRecord, { publicSet }: Found): Promise<boolean> {
  const { served } = record.server;
  if (served === null || publicSet === null) return false;
  return JSON.stringify(await publicSet(record.ref)) !== JSON.stringify(served);
}
