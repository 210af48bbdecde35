/**
 * Puts right what happened to folders behind our backs: sets of private keys, and public sets, that are gone or not the ones that were delivered. A folder
 * in memory is empty after a reboot, a volume is restored from an older copy, a sink was left out of the config for a while; the records go on saying that
 * everything is in its place.
 */
import { appPaths } from '../src/config/lookup.ts';
import type { ClientRef } from '../src/core/client.ts';
import { unknownDelivery } from '../src/core/delivering.ts';
import type { PublicJwk } from '../src/core/document.ts';
import type { ClientRecord } from '../src/core/record.ts';
import { type Delivery, desiredDelivery, sameDelivery } from '../src/core/signers.ts';
import type { Sink } from '../src/deliver/sink.ts';
import { messageOf } from '../src/errors.ts';
import { inParallel, PAGE } from '../src/parallel.ts';
import type { PublicFolder } from '../src/publish/folder.ts';
import { amend } from '../src/rotation/loop.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { wakeUnfinished } from './reconcile.ts';

/** Clients with a folder that differs from their record. */
interface Differing {
  lost: number;
  /** The store may be older than the folders: nothing is delivered before the server was looked at. */
  doubted: number;
}

/** Looks at the folders of this machine once; the rotation jobs of those clients do the rest. */
export async function restoreLost(context: JobContext, signal: AbortSignal): Promise<void> {
  const { config } = context.resources;
  const differing: Differing = { lost: 0, doubted: 0 };
  for (const app of appPaths(config)) {
    await restoreApp(app, differing, context, signal);
  }
  const { lost, doubted } = differing;
  if (lost > 0) context.log.warn({ clients: lost }, 'folders differ from the records: their keys are delivered again');
  if (doubted > 0)
    context.log.warn({ clients: doubted }, 'folders differ from the records: looking at the server first');
  if (lost + doubted > 0) await wakeUnfinished(context);
}

/** Null: there is no set. Undefined: that cannot be told now. */
type SetOf = (ref: ClientRef) => Promise<Delivery | null | undefined>;

/** What the sinks have of an app. One that cannot be read, such as a server that is away, says nothing of any set: it is told once, and not asked again. */
function setsIn(sink: Sink, app: string, { log }: JobContext): SetOf | null {
  const { name, sets } = sink;
  // A sink that cannot be asked has what it was given, as far as anybody knows.
  if (sets === null) return null;
  let reading: ReturnType<typeof sets> | null = null;
  let isAway = false;
  return async (ref) => {
    if (isAway) return undefined;
    try {
      reading ??= sets(app);
      return await (await reading)(ref);
    } catch (error) {
      if (!isAway) log.error({ sink: name, error: messageOf(error) }, NOT_KNOWN);
      isAway = true;
      return undefined;
    }
  };
}

/** @returns null when the folder cannot be read. Public sets are not checked then; private keys still are. */
async function publicSetsIn(folder: PublicFolder, app: string, { log }: JobContext): Promise<Folders['publicSet']> {
  try {
    return await folder.sets(app);
  } catch (error) {
    log.error({ app, error: messageOf(error) }, NOT_KNOWN);
    return null;
  }
}

const NOT_KNOWN = 'it is not known whether keys are where they had been delivered: the next start looks again';

/** What the folders of an app hold, asked for one client at a time. */
interface Folders {
  readonly sets: readonly SetOf[];
  readonly publicSet: ((ref: ClientRef) => Promise<readonly PublicJwk[] | null>) | null;
}

async function restoreApp(app: string, differing: Differing, context: JobContext, signal: AbortSignal): Promise<void> {
  const { store, sinks, folder } = context.resources;
  const folders: Folders = {
    sets: sinks.map((sink) => setsIn(sink, app, context)).filter((sets) => sets !== null),
    publicSet: folder === null ? null : await publicSetsIn(folder, app, context),
  };
  let last: ClientRef | null = null;
  do {
    signal.throwIfAborted();
    const page: readonly ClientRef[] = await store.appRefs(app, PAGE, last);
    last = page.at(-1) ?? null;
    // A client without managed keys has nothing anywhere, and a fleet may have many of those.
    await inParallel(await store.withKeys(page), FLEET_LANES, async (ref) => {
      const record = await forgetLost(ref, folders, context);
      if (record !== null) differing[record.doubted ? 'doubted' : 'lost'] += 1;
    });
  } while (last !== null);
}

/** Makes the record say that its folders are not known, where they differ from it. @returns the record as it was; null when nothing differs */
async function forgetLost(ref: ClientRef, folders: Folders, { resources }: JobContext): Promise<ClientRecord | null> {
  const { store } = resources;
  const policy = clientPolicy(resources, ref);
  const loaded = await store.load(ref);
  if (policy === null || loaded === null) return null;
  const isSetLost = await hasLostSet(loaded.record, folders);
  const isPublicLost = await hasLostPublicSet(loaded.record, folders);
  if (!isSetLost && !isPublicLost) return null;
  const forget = (record: ClientRecord): ClientRecord => {
    const known = isSetLost ? unknownDelivery(record) : record;
    return isPublicLost ? { ...known, server: { ...known.server, served: null } } : known;
  };
  await amend(ref, forget, policy, store);
  return loaded.record;
}

async function hasLostSet(record: ClientRecord, { sets }: Folders): Promise<boolean> {
  const { delivered } = record.signers;
  if (delivered === null || Object.values(delivered).every((kid) => kid === null)) return false;
  // Another worker may have delivered this and not yet committed it.
  if (!sameDelivery(delivered, desiredDelivery(record))) return false;
  // A key that was left out since it could not be opened is missing too: it may be there again.
  const present = await Promise.all(sets.map((read) => read(record.ref)));
  return present.some((delivery) => delivery !== undefined && !sameDelivery(delivery, delivered));
}

async function hasLostPublicSet(record: ClientRecord, { publicSet }: Folders): Promise<boolean> {
  const { served } = record.server;
  if (served === null || publicSet === null) return false;
  return JSON.stringify(await publicSet(record.ref)) !== JSON.stringify(served);
}
