/** The workers: one for each queue that requests come in by, one for upkeep, one per deployment. */

import { DelayedError, type Job, UnrecoverableError, Worker, type WorkerOptions } from 'bullmq';
import { appPaths } from '../src/config/lookup.ts';
import { members, shortMessage } from '../src/core/reply.ts';
import { hasCode, messageOf } from '../src/errors.ts';
import { isRefusal } from '../src/store/redis/replies.ts';
import { sleep, systemClock } from '../src/time.ts';
import type { JobContext } from './context.ts';
import { discover } from './discover.ts';
import { tellError } from './errors.ts';
import { probeJob } from './probing.ts';
import { putBack } from './put-back.ts';
import { bullConnection, rotateQueueName, traced, UPKEEP } from './queues.ts';
import { reconcile } from './reconcile.ts';
import { requestJob } from './request.ts';
import { restAfterErrors } from './resting.ts';
import { lookAgain, type RotateHooks, type RotateResult, rotateJob } from './rotate.ts';
import { discoverSchema, parseJob, probeSchema, reconcileSchema, sweepSchema, waveSchema } from './schemas.ts';
import { sweep } from './sweep.ts';
import { waveJob } from './wave.ts';

export interface Workers {
  /** Resolves when all workers are registered in Redis. */
  connected(): Promise<void>;
  /** From now on no job begins here. */
  takeNoMore(): void;
  /** Takes no new jobs and waits for those under way; after `graceMs`, or once `hurry` aborts, those are told to stop. They go on elsewhere, from their last commit. */
  drain(graceMs: number, hurry?: AbortSignal): Promise<void>;
}

/** How many jobs of a queue run at once: a request may wait for an API that hangs, and the others must not wait for it. */
const REQUESTS_AT_ONCE = 16;
const UPKEEP_AT_ONCE = 8;

const NEVER = new AbortController().signal;

export function startWorkers(context: JobContext, hooks: RotateHooks): Workers {
  const { resources, queues, log, lockMs } = context;
  let takesMore = true;
  /** The jobs under way. A BullMQ worker that closes does not wait for them when its connection breaks meanwhile. */
  const jobs = new Set<Promise<unknown>>();
  const told = new AbortController();
  /** A BullMQ worker that closes may still get the job that it was waiting for. */
  async function running<T>(job: Job, token: string | undefined, work: () => Promise<T>): Promise<T> {
    if (takesMore) {
      const result = unrecoverable(work);
      jobs.add(result);
      return result.finally(() => jobs.delete(result));
    }
    await job.moveToDelayed(systemClock.now(), token);
    throw new DelayedError();
  }
  const orTold = (signal: AbortSignal = NEVER) => AbortSignal.any([signal, told.signal]);
  const common = {
    connection: bullConnection(resources.redis),
    prefix: resources.store.keys.queues,
    lockDuration: lockMs,
    stalledInterval: Math.ceil(lockMs / 3),
    // When a worker is killed, its job is simply run again, however often: every step can be repeated.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
    ...traced(resources.tracing),
  } satisfies WorkerOptions;

  const rotating = resources.config.deployments.map(
    ({ id, concurrency }) =>
      new Worker<unknown, RotateResult>(
        rotateQueueName(id),
        // Three parameters, none with a default: BullMQ counts them, and gives a signal only to those who take it.
        (job, token, signal) => running(job, token, () => rotateJob(job, token, orTold(signal), context, hooks)),
        { ...common, concurrency },
      ),
  );
  for (const worker of rotating) {
    worker.on('completed', (_job, result) => {
      lookAgain(result, context).catch((error: unknown) => {
        log.warn(
          { client: result.client, error: messageOf(error) },
          'it is not known whether there is more to do: upkeep looks',
        );
      });
    });
  }
  const workers = [
    ...queues.inboxes.map(
      ({ name }) =>
        new Worker(name, (job, token) => running(job, token, () => askedJob(job, token, context)), {
          ...common,
          concurrency: REQUESTS_AT_ONCE,
        }),
    ),
    new Worker<unknown, unknown>(
      UPKEEP,
      (job, token, signal) => running(job, token, () => upkeepJob(job, token, orTold(signal), context)),
      {
        ...common,
        concurrency: UPKEEP_AT_ONCE,
      },
    ),
    ...rotating,
  ];
  const resting = new AbortController();
  for (const worker of workers) attend(worker, context, resting.signal);

  return {
    async connected() {
      await Promise.all(workers.map((worker) => worker.waitUntilReady()));
    },

    takeNoMore() {
      takesMore = false;
    },

    async drain(graceMs, hurry = NEVER) {
      takesMore = false;
      resting.abort();
      const drained = new AbortController();
      const closed = Promise.all(workers.map((worker) => worker.close()))
        .then(() => Promise.allSettled(jobs))
        .finally(() => drained.abort());
      await sleep(graceMs, AbortSignal.any([drained.signal, hurry]));
      if (!drained.signal.aborted) {
        log.warn(hurry.aborted ? {} : { grace_ms: graceMs }, 'jobs under way are told to stop');
        told.abort('the service stops');
      }
      await closed;
    },
  };
}

/** Tells what goes wrong with a worker, and ends a job that has lost its lock. @param stopped ends a rest after errors */
function attend(worker: Worker, { resources, log }: JobContext, stopped: AbortSignal): void {
  worker.on('error', (error) => void tellError(resources, error, 'worker', { queue: worker.name }));
  restAfterErrors(worker, stopped);
  worker.on('failed', (job, error) => {
    const told = messageOf(error);
    // What is wrong with the store is told when the guard notices it, and not again by each job that it keeps from running.
    const { problem } = resources.guard;
    const isTold = problem !== null && (told === problem.message || isRefusal(error));
    const level = isTold ? 'debug' : 'error';
    log[level]({ queue: worker.name, job: job?.id, name: job?.name, error: told }, 'job failed');
  });
  // Without its lock a job may already run elsewhere: stop before the next PATCH.
  worker.on('lockRenewalFailed', (jobs) => {
    for (const job of jobs) worker.cancelJob(job, 'the lock was lost');
  });
}

async function askedJob(job: Job, token: string | undefined, context: JobContext): Promise<unknown> {
  if (job.name === 'request') return requestJob(job, token, context);
  throw new UnrecoverableError(`There is no ${job.queueName} job ${JSON.stringify(job.name)}. Use request.`);
}

async function upkeepJob(
  job: Job,
  token: string | undefined,
  signal: AbortSignal,
  context: JobContext,
): Promise<unknown> {
  const unknown = unknownIn(members(job.data), context);
  if (unknown !== null) return putBack(job, token, `The config has no ${unknown}.`, context);
  switch (job.name) {
    case 'sweep':
      return sweep(parseJob(sweepSchema, job.name, job.data), context);
    case 'discover':
      return discover(parseJob(discoverSchema, job.name, job.data), context);
    case 'wave':
      return waveJob(parseJob(waveSchema, job.name, job.data), context);
    case 'reconcile':
      parseJob(reconcileSchema, job.name, job.data);
      return reconcile(context);
    case 'probe':
      return probeJob(parseJob(probeSchema, job.name, job.data), signal, context);
    default:
      throw new UnrecoverableError(`There is no upkeep job ${JSON.stringify(job.name)}.`);
  }
}

/** A sweep of a policy that this config does not have would find nothing due, and be done. */
function unknownIn({ policy, app }: Readonly<Record<string, unknown>>, { resources }: JobContext): string | null {
  const { policies, deployments } = resources.config;
  if (typeof policy === 'string' && !Object.hasOwn(policies, policy)) return `policy ${shortMessage(policy)}`;
  const apps = appPaths({ deployments });
  return typeof app === 'string' && !apps.includes(app) ? `app ${shortMessage(app)}` : null;
}

/** What a retry cannot mend is not retried. */
async function unrecoverable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (hasCode(error, 'job_invalid') || hasCode(error, 'breaker')) throw new UnrecoverableError(error.message);
    throw error;
  }
}
