/** Everything that one config asks for: API clients, sinks, queues, workers, schedule. A config that changes gets a crew of its own; nothing here is changed. */
import type { JobContext } from '../../jobs/context.ts';
import { tellError } from '../../jobs/errors.ts';
import { tellFirstLook } from '../../jobs/first-look.ts';
import { openQueues, type Queues } from '../../jobs/queues.ts';
import { restoreLost } from '../../jobs/restore.ts';
import { RETAIN_EVERY_MS, retainRegularly } from '../../jobs/retain.ts';
import type { RotateHooks } from '../../jobs/rotate.ts';
import { type Schedule, startSchedule } from '../../jobs/schedule.ts';
import { SEAL_EVERY_MS, sealRegularly } from '../../jobs/seal.ts';
import { noteOwners, upgradeQueues } from '../../jobs/upgrade.ts';
import { startWorkers, type Workers } from '../../jobs/workers.ts';
import type { Config } from '../config/model.ts';
import { messageOf } from '../errors.ts';
import { keksOf } from '../rotation/policy.ts';
import type { Log, Resources } from '../rotation/resources.ts';
import { type Clock, sleep } from '../time.ts';
import { opening, type Releases } from './lifecycle.ts';
import { openResourcesOn, type ResourceOptions, type StoreHandle } from './resources.ts';
import { startWebhooks, type WebhookOptions } from './webhooks.ts';

export interface CrewOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly schedule: boolean;
  readonly worker: boolean;
  readonly hooks?: RotateHooks;
  /** Job lock in ms; how long the jobs of a killed worker wait for another one. */
  readonly lockMs?: number;
  /** How often the audit log is sealed, in ms; null: never. */
  readonly sealEveryMs?: number | null;
  /** How often it is exported and cut, in ms; null: never. */
  readonly retainEveryMs?: number | null;
  /** See {@link ./thread-pool.ts}; four when absent. */
  readonly poolThreads?: number;
  readonly onRequest?: NonNullable<ResourceOptions['onRequest']>;
  readonly onWebhook?: NonNullable<WebhookOptions['onOutcome']>;
  readonly tracing?: NonNullable<ResourceOptions['tracing']>;
}

export interface Crew {
  readonly config: Config;
  readonly resources: Resources;
  readonly queues: Queues;
  /** Null where no schedule runs. */
  readonly schedule: Schedule | null;
  readonly context: JobContext;
  /** Drains: runs under way end between two steps, at most `shutdown_grace` later. A second call waits for the first. */
  stop(): Promise<void>;
}

/** A job's lock outlives any PATCH, so that no second worker takes it up while one is under way. */
const LOCK_TIMEOUTS = 3;

/** At least this often it is made sure that upkeep is planned, in ms. */
const UPKEEP_MS = 60_000;

/**
 * @param isFirst of its process: what it finds is told before anything changes
 * @throws RekeydError; what was started before is stopped again
 */
export async function startCrew(
  handle: StoreHandle,
  config: Config,
  options: CrewOptions,
  isFirst: boolean,
): Promise<Crew> {
  const { log, clock, poolThreads, onRequest, tracing } = options;
  return opening(log, async (add, release) => {
    const resources = await openResourcesOn(handle, config, {
      log,
      clock,
      poolThreads,
      ...(onRequest !== undefined && { onRequest }),
      ...(tracing !== undefined && { tracing }),
    });
    add('resources', () => resources.close());
    const deployments = config.deployments.map(({ id }) => id);
    const queues = openQueues(resources, deployments, (error) => void tellError(resources, error, 'queue'));
    add('queues', () => queues.close());
    if (options.schedule && isFirst) await tellFirstLook(resources, true);
    if (isFirst) await tellLeftAlone(resources);
    const timeouts = config.deployments.map(({ timeoutMs }) => timeoutMs);
    const lockMs = options.lockMs ?? Math.max(30_000, LOCK_TIMEOUTS * Math.max(...timeouts));
    const context = { resources, queues, keks: keksOf(config), log, lockMs };
    const workers = options.worker ? await startWorking(context, options, handle.target.ended, add) : null;
    const schedule = options.schedule ? await startSchedule(config, queues, log, clock.now()) : null;
    add('schedule', () => schedule?.stop());
    if (options.worker) {
      add('webhooks', startWebhooks(config, { store: handle.store, log, clock, onOutcome: options.onWebhook }));
    }
    return {
      config,
      resources,
      queues,
      schedule,
      context,
      stop() {
        workers?.takeNoMore();
        return release();
      },
    };
  });
}

/** @param hurry aborts when Redis is given up: then a stop waits for nothing */
async function startWorking(
  context: JobContext,
  options: CrewOptions,
  hurry: AbortSignal | undefined,
  add: Releases['add'],
): Promise<Workers> {
  const { resources, queues } = context;
  const { shutdownGraceMs, reconcileEveryMs } = resources.config;
  const { hooks = {}, sealEveryMs = SEAL_EVERY_MS, retainEveryMs = RETAIN_EVERY_MS } = options;
  if (sealEveryMs !== null) {
    const sealing = sealRegularly(context, sealEveryMs, hurry);
    // After the workers: their last entries are sealed too.
    add('seal', sealing.stop);
  }
  if (retainEveryMs !== null) {
    const retaining = retainRegularly(context, { everyMs: retainEveryMs, stdout: process.stdout, hurry });
    add('audit retention', retaining.stop);
  }
  await upgradeQueues(context);
  const workers = startWorkers(context, hooks);
  add('workers', () => workers.drain(shutdownGraceMs, hurry));
  const background = new AbortController();
  add('background', () => background.abort());
  restore(context, background.signal);
  upgradeOwners(context, background.signal);
  await queues.reconcileEvery(reconcileEveryMs);
  await workers.connected();
  void keepUpkeep(context, background.signal);
  return workers;
}

const LEFT_ALONE = 'found and held clients are left alone: `rekeyd status` lists them, and says how each is enrolled';

/** A person who starts rekeyd on a fleet for the first time should know that nothing happens by itself. */
async function tellLeftAlone({ store, log }: Resources): Promise<void> {
  const counts = await store.enrolmentCounts();
  if (counts.found + counts.held > 0) log.warn(counts, LEFT_ALONE);
}

/** Beside everything else: the folders of a large fleet take a while to go through. Stopping does not wait for it, since Redis may be away. */
function restore(context: JobContext, signal: AbortSignal): void {
  restoreLost(context, signal).catch((error: unknown) => {
    if (signal.aborted) return;
    context.log.error({ error: messageOf(error) }, 'it is not known whether keys are where they had been delivered');
  });
}

/** The same. */
function upgradeOwners(context: JobContext, signal: AbortSignal): void {
  noteOwners(context, signal).catch((error: unknown) => {
    if (signal.aborted) return;
    context.log.error(
      { error: messageOf(error) },
      'the keys of earlier clients are not noted: the next start tries again',
    );
  });
}

/** By a timer, which goes by no clock: the next run is planned by one, and a machine's may be wrong, or set right. */
async function keepUpkeep({ resources, queues, log }: JobContext, signal: AbortSignal): Promise<void> {
  const { reconcileEveryMs } = resources.config;
  for (;;) {
    await sleep(Math.min(reconcileEveryMs, UPKEEP_MS), signal);
    if (signal.aborted) return;
    await queues.reconcileEvery(reconcileEveryMs).catch((error: unknown) => {
      if (!signal.aborted) log.warn({ error: messageOf(error) }, 'upkeep could not be planned');
    });
    await resources.store.rememberSize().catch(() => {}); // the next time; what is wrong with the store is told elsewhere
  }
}
