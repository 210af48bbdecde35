/** The composition root: everything that `rekeyd start` runs, and how it stops. */
import type { JobContext } from '../../jobs/context.ts';
import { LEFT_ALONE } from '../../jobs/discover.ts';
import { tellError } from '../../jobs/errors.ts';
import { tellFirstLook } from '../../jobs/first-look.ts';
import { notePresence } from '../../jobs/presence.ts';
import { openQueues, type Queues } from '../../jobs/queues.ts';
import { restoreLost } from '../../jobs/restore.ts';
import type { RotateHooks } from '../../jobs/rotate.ts';
import { startSchedule } from '../../jobs/schedule.ts';
import { upgradeQueues } from '../../jobs/upgrade.ts';
import { startWorkers } from '../../jobs/workers.ts';
import type { Config } from '../config/model.ts';
import { messageOf } from '../errors.ts';
import { startHttp } from '../http/server.ts';
import { misfits } from '../rotation/misfits.ts';
import { keksOf } from '../rotation/policy.ts';
import type { Log, Resources } from '../rotation/resources.ts';
import { type Clock, sleep, systemClock } from '../time.ts';
import { createReleases } from './lifecycle.ts';
import { openResources } from './resources.ts';

export interface ServiceOptions {
  readonly log: Log;
  readonly schedule: boolean;
  readonly worker: boolean;
  readonly http: boolean;
  readonly clock?: Clock;
  readonly hooks?: RotateHooks;
  /** Job lock in ms; how long the jobs of a killed worker wait for another one. */
  readonly lockMs?: number;
  /** See {@link ./thread-pool.ts}; four when absent. */
  readonly poolThreads?: number;
}

export interface Service {
  readonly resources: Resources;
  readonly queues: Queues;
  /** Drain, then abort; a second call waits for the first. */
  stop(): Promise<void>;
}

/** A job's lock outlives any PATCH, so that no second worker takes it up while one is under way. */
const LOCK_TIMEOUTS = 3;

/** At least this often it is made sure that upkeep is planned, in ms. */
const UPKEEP_MS = 60_000;

/** How long a readiness check may take, in ms. */
const READY_MS = 2_000;

/** @throws RekeydError; what was started before is stopped again */
export async function startService(config: Config, options: ServiceOptions): Promise<Service> {
  const { log, clock = systemClock, hooks = {}, poolThreads } = options;
  const releases = createReleases((name, message) => log.error({ name, error: message }, 'could not be stopped'));
  try {
    const resources = await openResources(config, { log, clock, poolThreads });
    releases.add('resources', () => resources.close());
    await resources.guard.tryWrite();
    const deployments = config.deployments.map(({ id }) => id);
    const queues = openQueues(resources, deployments, (error) => void tellError(resources, error, 'queue'));
    releases.add('queues', () => queues.close());
    if (options.schedule) await tellFirstLook(resources, true);
    if (options.worker) {
      const timeouts = config.deployments.map(({ timeoutMs }) => timeoutMs);
      const lockMs = options.lockMs ?? Math.max(30_000, LOCK_TIMEOUTS * Math.max(...timeouts));
      const context = { resources, queues, keks: keksOf(config), log, lockMs };
      await upgradeQueues(context);
      const workers = startWorkers(context, hooks);
      releases.add('workers', () => workers.drain(config.shutdownGraceMs));
      releases.add('presence', await notePresence(resources));
      const background = new AbortController();
      releases.add('background', () => background.abort());
      restore(context, background.signal);
      await queues.reconcileEvery(config.reconcileEveryMs);
      await workers.connected();
      void keepUpkeep(context, background.signal);
    }
    if (options.schedule) {
      const schedule = await startSchedule(config, queues, log, clock.now());
      releases.add('schedule', () => schedule.stop());
      // A store that was restored has missed ticks; one that replaces another may know no client at all.
      resources.guard.onRecovery(() => void schedule.catchUp(clock.now()));
    }
    if (options.http) {
      const http = await startHttp({
        ...config.http.listen,
        ready: () => obstacleOf(resources),
        onError: (error) => log.error({ error: messageOf(error) }, 'a request failed'),
      });
      releases.add('http', () => http.close());
      log.info({ url: http.url }, 'listening');
    }
    await tellLeftAlone(resources);
    tellMisfits(resources);
    return { resources, queues, stop: releases.release };
  } catch (error) {
    await releases.release();
    throw error;
  }
}

/** A person who starts rekeyd on a fleet for the first time should know that nothing happens by itself. */
async function tellLeftAlone({ store, log }: Resources): Promise<void> {
  const counts = await store.enrolmentCounts();
  if (counts.found + counts.held > 0) log.warn(counts, LEFT_ALONE);
}

/** Rotations that would fail are told of before they do. */
function tellMisfits({ config, facts, log }: Resources): void {
  for (const { app, policy, kind, problem } of misfits(config, facts.ofApp)) {
    if (kind === 'refused') log.error({ app, policy }, `the policy asks for what the server does not do: ${problem}`);
    else log.warn({ app, policy }, problem);
  }
}

/** Beside everything else: the folders of a large fleet take a while to go through. Stopping does not wait for it, since Redis may be away. */
function restore(context: JobContext, signal: AbortSignal): void {
  restoreLost(context, signal).catch((error: unknown) => {
    if (signal.aborted) return;
    context.log.error({ error: messageOf(error) }, 'it is not known whether keys are where they had been delivered');
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

async function obstacleOf(resources: Resources): Promise<string | null> {
  const asked = new AbortController();
  const answered = resources.guard.tryWrite().then(
    () => null,
    (error) => messageOf(error),
  );
  const late = sleep(READY_MS, asked.signal).then(() => resources.guard.problem?.message ?? 'Redis does not answer.');
  try {
    return await Promise.race([answered, late]);
  } finally {
    asked.abort();
  }
}
