/**
 * Level-triggered upkeep: whatever a crash, a lost job or a human left behind is found from the records, and mended. Runs every
 * `reconcile_every` and at start-up; running it twice does no harm.
 */

import type { ClientRef } from '../src/core/client.ts';
import { hasDrifted, plan, ripen } from '../src/core/plan.ts';
import type { ClientPolicy } from '../src/core/policy.ts';
import type { ClientRecord } from '../src/core/record.ts';
import { hasCode, messageOf } from '../src/errors.ts';
import { inParallel } from '../src/parallel.ts';
import { commitOf, isMarkedActive, seenMark } from '../src/rotation/commit.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import type { Loaded } from '../src/store/records.ts';
import { FLEET_LANES, type JobContext, noteApiFailure, resumeDeployment } from './context.ts';
import { type Listed, type Missing, PAGE, pagesOf, readListing } from './listing.ts';
import { takeSeen } from './start.ts';

export interface ReconcileResult {
  /** Paused deployments whose jobs run again, if only to see whether they may. */
  readonly resumed: readonly string[];
  readonly woken: number;
  readonly drifted: number;
}

export async function reconcile(context: JobContext): Promise<ReconcileResult> {
  await hastenRetries(context);
  const resumed = await resumeDeployments(context);
  const drifted = await findDrift(context);
  const woken = await wakeUnfinished(context);
  return { resumed, woken, drifted };
}

/** Requests and sweeps that failed on a machine whose clock was ahead are tried again now, and not when that one thought. */
async function hastenRetries({ parts, queues }: JobContext): Promise<void> {
  const now = await parts.store.now();
  for (const job of await queues.control.getDelayed()) {
    if ((job.processedOn ?? 0) > now + LATE_MS) await job.promote().catch(() => undefined); // somebody else was faster
  }
}

/**
 * Asks the API, gently, whether the key of a paused deployment is accepted again. A key that may read may still not write: jobs that wait are let
 * try, and the deployment counts as resumed with the first PATCH that is accepted. Otherwise each of these runs would raise the alarm anew.
 */
async function resumeDeployments(context: JobContext): Promise<readonly string[]> {
  const { parts, queues, log } = context;
  const tried: string[] = [];
  for (const deployment of await parts.store.pausedDeployments()) {
    const found = parts.deployments.get(deployment);
    if (found === undefined) continue;
    const queue = queues.rotateQueue(deployment);
    try {
      await found.wacht.listApps();
    } catch (error) {
      await queue.pause(); // a worker that died between the record and the queue left it running
      log.warn({ deployment, error: messageOf(error) }, 'still paused');
      continue;
    }
    await queue.resume();
    if ((await queue.count()) + (await queue.getActiveCount()) === 0) await resumeDeployment(context, deployment);
    tried.push(deployment);
  }
  return tried;
}

/** A job that should have begun this long ago, in ms, is late. */
const LATE_MS = 2_000;

/** Every record with something left to do has a job that will do it. */
export async function wakeUnfinished({ parts, queues }: JobContext): Promise<number> {
  let woken = 0;
  await inParallel(await parts.store.openWork(), FLEET_LANES, async (ref) => {
    const loaded = await parts.store.load(ref);
    const policy = clientPolicy(parts, ref);
    if (loaded === null || policy === null) return;
    const job = jobOf(loaded.record);
    const state = await queues.rotateQueue(parts.deploymentOf(ref).config.id).getJobState(job);
    const isLost = state === 'unknown' || state === 'completed' || state === 'failed';
    // Put off by a machine whose clock was ahead, it would come late by as much: BullMQ goes by the clocks of its workers.
    const isLate = state === 'delayed' && isDue(loaded.record, policy, loaded.now - LATE_MS);
    if (!isLost && !isLate) return;
    await queues.wake(ref, job, loaded.record.rotation?.compromised != null);
    woken += 1;
  });
  return woken;
}

function isDue(record: ClientRecord, policy: ClientPolicy, now: number): boolean {
  const step = plan(ripen(record, now), policy, now);
  return step.do !== 'wait' && step.do !== 'done';
}

/** The job that looks after a record: named after the rotation under way, else after one that still has a key to retire. */
function jobOf(record: ClientRecord): string {
  return record.rotation?.id ?? record.retiring.at(-1)?.rotation ?? upkeepJob(record.ref);
}

function upkeepJob(ref: ClientRef): string {
  return `upkeep.${ref}`;
}

/** Compares what servers show with what was published. A client whose document somebody changed is put right by its own rotation job. */
async function findDrift(context: JobContext): Promise<number> {
  const { parts, log } = context;
  const paused = await parts.store.pausedDeployments();
  let drifted = 0;
  for (const deployment of parts.config.deployments) {
    if (paused.has(deployment.id)) continue;
    for (const { slug } of deployment.apps) {
      try {
        drifted += await compareApp(deployment.id, slug, context);
      } catch (error) {
        await noteApiFailure(context, deployment.id, error);
        log.warn({ deployment: deployment.id, app: slug, error: messageOf(error) }, 'the client list cannot be read');
      }
    }
  }
  return drifted;
}

/** Only clients that look different from their record are loaded: of a large fleet that nobody touched, none. */
async function compareApp(deployment: string, slug: string, context: JobContext): Promise<number> {
  const { store } = context.parts;
  const app = `${deployment}/${slug}`;
  const known = await store.appCount(app);
  if (known === 0) return 0;
  const present = new Set<ClientRef>();
  const { clients, unreadable, readAt } = await readListing(context, deployment, slug, (client, ref, seen) => {
    if (seen === null) return false;
    present.add(ref);
    return seen !== seenMark(client);
  });
  let drifted = 0;
  for (const page of pagesOf(clients)) drifted += await takeInAll(new Map(page), context);
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
  const { store } = context.parts;
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
  const loaded = await context.parts.store.loadMany([...found.keys()]);
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
  { parts, queues, log }: JobContext,
): Promise<boolean> {
  const policy = clientPolicy(parts, ref);
  const { record } = held;
  // What is being worked on looks at the server itself before it writes.
  if (policy === null || record.rotation !== null || record.halted !== null || record.inFlight !== null) return false;
  const change = takeSeen(record, seen, policy);
  if (change.record === record) return false;
  try {
    await parts.store.commit(commitOf(change, policy, { expected: held, durable: false }));
  } catch (error) {
    if (hasCode(error, 'store_conflict') || hasCode(error, 'store_fenced')) return false;
    throw error;
  }
  if (!hasDrifted(change.record, policy)) return false;
  log.warn({ client: ref }, 'somebody changed the published keys: they are put right');
  await queues.wake(ref, upkeepJob(ref), false);
  return true;
}
