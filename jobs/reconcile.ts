/**
 * Level-triggered upkeep: whatever a crash, a lost job or a human left behind is found from the records, and mended. Runs every
 * `reconcile_every` and at start-up; running it twice does no harm.
 */
import { policyFor } from '../src/config/lookup.ts';
import { type ClientRef, splitReference } from '../src/core/client.ts';
import { isEligible } from '../src/core/due.ts';
import { plan } from '../src/core/plan.ts';
import type { ClientPolicy } from '../src/core/policy.ts';
import { hasDrifted } from '../src/core/publication.ts';
import type { ClientRecord } from '../src/core/record.ts';
import { ripen } from '../src/core/retirement.ts';
import { hastened } from '../src/core/setback.ts';
import { messageOf } from '../src/errors.ts';
import { inParallel, PAGE, pagesOf } from '../src/parallel.ts';
import { commitOf, isMarkedActive, isOutrun, looksAsSeen } from '../src/rotation/commit.ts';
import { noteAccepted } from '../src/rotation/deployment.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import type { Loaded } from '../src/store/records.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { IN_LIST, takeNew } from './discover.ts';
import { hearWaiting } from './hearing.ts';
import { type Listed, type Missing, readNowAndThen } from './listing.ts';
import { endOldPauses } from './pauses.ts';
import { probeAgain } from './probing.ts';
import { departedApps } from './renamed.ts';
import { noteUnread } from './selection.ts';
import { takeSeen } from './start.ts';
import { watchWave } from './wave.ts';

export interface ReconcileResult {
  /** Paused deployments with an API key that may read again. */
  readonly resumed: readonly string[];
  readonly woken: number;
  readonly drifted: number;
  /** Held clients with signers that were heard. */
  readonly enrolled: number;
}

export async function reconcile(context: JobContext): Promise<ReconcileResult> {
  await context.resources.guard.check();
  await hastenRetries(context);
  await endOldPauses(context);
  const resumed = await resumeDeployments(context);
  // Before the lists, which may take long: what is unfinished does not wait for them.
  const woken = await wakeUnfinished(context);
  const enrolled = await hearWaiting(context);
  for (const policy of Object.keys(context.resources.config.policies)) await watchWave(policy, context);
  const drifted = await findDrift(context);
  await probeAgain(context);
  return { resumed, woken, drifted, enrolled };
}

/** Requests and sweeps that a machine with a fast clock put off are tried again now, and not at the time that its clock showed. */
async function hastenRetries({ resources, queues }: JobContext): Promise<void> {
  const now = await resources.store.now();
  for (const queue of [...queues.inboxes, queues.upkeep]) {
    for (const job of await queue.getDelayed()) {
      if ((job.processedOn ?? 0) > now + LATE_MS) await job.promote().catch(() => undefined); // another worker was faster
    }
  }
}

/**
 * Rotations of a paused deployment try its API now and then by themselves, and the first PATCH that is accepted ends the pause. Where no rotation has
 * anything to do, a read ends it.
 */
async function resumeDeployments(context: JobContext): Promise<readonly string[]> {
  const { resources, log } = context;
  const { store, deployments } = resources;
  const resumed: string[] = [];
  for (const [id, { paused }] of await store.deploymentStates([...deployments.keys()])) {
    if (paused === null || (await isTriedByRotations(id, context))) continue;
    try {
      await deployments.get(id)?.listApps();
    } catch (error) {
      log.warn({ deployment: id, error: messageOf(error) }, 'still paused');
      continue;
    }
    await noteAccepted(resources, id);
    resumed.push(id);
  }
  return resumed;
}

/**
 * True while a client of this deployment has something to do, now or when its backoff is over. One that waits for the end of an overlap, or for its
 * application, may not call the API for weeks.
 */
async function isTriedByRotations(deployment: string, { resources, queues }: JobContext): Promise<boolean> {
  const queue = queues.rotateQueue(deployment);
  const { delayed = 0, ...ready } = await queue.getJobCounts('active', 'waiting', 'prioritized', 'delayed');
  if (Object.values(ready).some((jobs) => jobs > 0)) return true;
  if (delayed === 0) return false;
  const refs = (await resources.store.openWork()).filter((ref) => splitReference(ref).deployment === deployment);
  for (const page of pagesOf(refs)) {
    for (const [ref, { record, now }] of await resources.store.loadMany(page)) {
      const policy = clientPolicy(resources, ref);
      if (policy !== null && isDue(hastened(record), policy, now)) return true;
    }
  }
  return false;
}

/** A job that should have begun this long ago, in ms, is late. */
const LATE_MS = 2_000;

/** Every record with something left to do has a job that will do it. */
export async function wakeUnfinished({ resources, queues }: JobContext): Promise<number> {
  let woken = 0;
  await inParallel(await resources.store.openWork(), FLEET_LANES, async (ref) => {
    const loaded = await resources.store.load(ref);
    const policy = clientPolicy(resources, ref);
    if (loaded === null || policy === null) return;
    const state = await queues.rotateQueue(resources.deploymentOf(ref).config.id).getJobState(ref);
    const isLost = state === 'unknown' || state === 'completed' || state === 'failed';
    // Put off by a machine with a fast clock, it would come late by as much: BullMQ goes by the clocks of its workers.
    const isLate = state === 'delayed' && isDue(loaded.record, policy, loaded.now - LATE_MS);
    if (!isLost && !isLate) return;
    await queues.wake(ref, loaded.record.rotation?.compromised != null);
    woken += 1;
  });
  return woken;
}

export function isDue(record: ClientRecord, policy: ClientPolicy, now: number): boolean {
  const action = plan(ripen(record, now), policy, now);
  return action.do !== 'wait' && action.do !== 'done';
}

/** Compares what servers show with what was published. If somebody changed a client's document, its own rotation job puts it right. */
async function findDrift(context: JobContext): Promise<number> {
  const { resources } = context;
  const { deployments } = resources.config;
  const states = await resources.store.deploymentStates(deployments.map(({ id }) => id));
  let drifted = 0;
  await Promise.all(
    deployments.map(async ({ id, apps }) => {
      if (states.get(id)?.paused != null) return;
      try {
        for (const { slug } of apps) drifted += await compareApp(id, slug, context);
      } catch (error) {
        // An API that hangs is asked once.
        await noteUnread(id, error, context);
      }
    }),
  );
  return drifted;
}

/** Only clients that look different from their record are loaded: of a large fleet that nobody touched, none. */
async function compareApp(deployment: string, slug: string, context: JobContext): Promise<number> {
  const { store } = context.resources;
  const app = `${deployment}/${slug}`;
  const known = await store.appCount(app);
  if (known === 0) return 0;
  const present = new Set<ClientRef>();
  const fresh = new Set<ClientRef>();
  const listing = await readNowAndThen(context, deployment, slug, (client, ref, seen) => {
    if (seen === null) {
      if (isEligible(client) && policyFor(context.resources.config, ref) !== null) fresh.add(ref);
      return fresh.has(ref);
    }
    present.add(ref);
    return !looksAsSeen(client, seen);
  });
  if (listing === null) return 0;
  const { clients, unreadable, readAt } = listing;
  let drifted = 0;
  const departed = fresh.size === 0 ? [] : await departedApps(context.resources);
  for (const page of pagesOf(clients)) {
    await takeNew(
      page.filter(([ref]) => fresh.has(ref)),
      { actor: 'reconcile', reason: IN_LIST },
      departed,
      context,
    );
    drifted += await takeInAll(new Map(page.filter(([ref]) => !fresh.has(ref))), context);
  }
  if (present.size === known) return drifted;
  return drifted + (await takeInMissing(app, (ref) => present.has(ref) || unreadable.has(ref), readAt, context));
}

/** Clients that the server no longer lists are not rotated on schedule until it does again. */
async function takeInMissing(
  app: string,
  isListed: (ref: ClientRef) => boolean,
  readAt: number,
  context: JobContext,
): Promise<number> {
  const { store } = context.resources;
  let drifted = 0;
  let last: ClientRef | null = null;
  do {
    const page: readonly ClientRef[] = await store.appRefs(app, PAGE, last);
    last = page.at(-1) ?? null;
    const missing = page.filter((ref) => !isListed(ref));
    const seen = await store.seen(missing);
    const news = missing.filter((_, index) => isMarkedActive(seen[index] ?? null));
    drifted += await takeInAll(new Map(news.map((ref) => [ref, { client: null, readAt }])), context);
  } while (last !== null);
  return drifted;
}

async function takeInAll(found: ReadonlyMap<ClientRef, Listed | Missing>, context: JobContext): Promise<number> {
  let drifted = 0;
  const loaded = await context.resources.store.loadMany([...found.keys()]);
  await inParallel(loaded, FLEET_LANES, async ([ref, held]) => {
    const seen = found.get(ref);
    if (seen !== undefined && (await takeIn(ref, held, seen, context))) drifted += 1;
  });
  return drifted;
}

/** True when what was published is no longer there. */
async function takeIn(
  ref: ClientRef,
  held: Loaded,
  seen: Listed | Missing,
  { resources, queues, log }: JobContext,
): Promise<boolean> {
  const policy = clientPolicy(resources, ref);
  const { record } = held;
  // What is being worked on looks at the server itself before it writes. A key that is offered only waits.
  const isOffered = record.rotation?.phase.name === 'offered';
  const isBusy = (record.rotation !== null && !isOffered) || record.server.inFlight !== null;
  if (policy === null || isBusy || record.halted !== null) return false;
  const change = takeSeen(record, seen, policy);
  if (change.record === record) return false;
  try {
    await resources.store.commit(commitOf(change, policy, { from: held, durable: false }));
  } catch (error) {
    if (isOutrun(error)) return false;
    throw error;
  }
  for (const { type, data } of change.entries) {
    if (type === 'client.drifted') log.warn({ client: ref, what: data.what, differences: data.differences }, DRIFTED);
  }
  if (!hasDrifted(change.record, policy) && !(isOffered && isDue(change.record, policy, held.now))) return false;
  log.warn({ client: ref }, 'somebody changed the published keys: they are put right');
  await queues.wake(ref, false);
  return true;
}

const DRIFTED = 'what the server shows has changed: `rekeyd drift` says what is done about it';
