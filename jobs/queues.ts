/** The queues: those that requests come in by (`./inboxes.ts`), `upkeep` for what comes by the clock, one `rotate-…` per deployment. */
import { randomBytes } from 'node:crypto';
import { type ConnectionOptions, type JobsOptions, Queue, type Telemetry } from 'bullmq';
import type { Config } from '../src/config/model.ts';
import { type ClientRef, splitReference } from '../src/core/client.ts';
import { members } from '../src/core/reply.ts';
import type { Tracing } from '../src/rotation/resources.ts';
import type { StoreKeys } from '../src/store/keys.ts';
import { bullConnectionOptions } from '../src/store/redis/connection.ts';
import type { RedisTarget } from '../src/store/redis/target.ts';
import { systemClock } from '../src/time.ts';
import { CONTROL, producerQueue, REQUESTS } from './inboxes.ts';

export const UPKEEP = 'upkeep';
const RECONCILE = 'reconcile';

export function rotateQueueName(deployment: string): string {
  return `rotate-${deployment}`;
}

/** One job for a slot of a policy's schedule, however many replicas add it. BullMQ takes no colon in a job id. */
export function slotJobId(name: string, policy: string, slot: string): string {
  return `${name}.${policy}.${slot}`.replaceAll(':', '.');
}

/** BullMQ opens connections of its own. */
export function bullConnection(target: RedisTarget): ConnectionOptions {
  return bullConnectionOptions(target) as ConnectionOptions; // the same options; BullMQ spells optional members differently
}

/** Bounded history: ended jobs tell a person what happened; the audit log is what lasts. */
const KEPT = {
  removeOnComplete: { age: 24 * 3600, count: 1_000 },
  removeOnFail: { age: 7 * 24 * 3600, count: 1_000 },
} as const satisfies JobsOptions;

/** A job that ended keeps its id taken, and the next wake of its client would be ignored. */
const FORGOTTEN = { removeOnComplete: true, removeOnFail: true } as const satisfies JobsOptions;

/** For what nobody foresaw: exponential with full jitter. Foreseen failures are counted in the record and never get here. */
const RETRIED = { attempts: 8, backoff: { type: 'exponential', delay: 500, jitter: 1 } } as const satisfies JobsOptions;

/** BullMQ takes jobs without a priority (0) first: that is for what is urgent. Jobs of one priority come in the order in which they were added. */
const ORDINARY = 10;
const URGENT = 0;

/** Not by BullMQ's own count, which a producer's job may have too: requests are told apart by their ids. */
export function newRequestId(): string {
  return `q${randomBytes(9).toString('base64url')}`;
}

/** Behind everything else: what a worker does when it has the time. */
export const SPARE = 100;

export interface Queues {
  /** Requests of any program. */
  readonly control: Queue;
  /** Those of rekeyd's own commands and HTTP API. */
  readonly requests: Queue;
  /** All that requests come in by: these two, and one for each producer of the config. */
  readonly inboxes: readonly Queue[];
  readonly upkeep: Queue;
  rotateQueue(deployment: string): Queue;
  /**
   * Sees to it that a worker looks at this client soon, after what was committed before. One job per client: a worker that is at work on it looks at the
   * record again after it has gone to sleep, and before that nothing has to be done.
   */
  wake(ref: ClientRef, urgent: boolean): Promise<void>;
  /** The same for what has time until no other client of the deployment waits. A compromise brings it forward; anything else waits with it. */
  wakeSpare(ref: ClientRef): Promise<void>;
  /**
   * Asks as rekeyd itself.
   * @param id of the job: asked for a second time while that is known, it stays one. Absent: another one each time.
   * @returns the id of its job in `requests`
   */
  request(data: object, id?: string): Promise<string>;
  addUpkeep(name: string, data: object, jobId: string): Promise<void>;
  /** The same, for a job that is added anew once the one before it has ended. */
  addUpkeepAgain(name: string, data: object, jobId: string): Promise<void>;
  /**
   * One upkeep run every `ms`, however many replicas ask for it. Asked again, it brings back one that was lost, or that a machine with a clock that was
   * ahead has put off.
   */
  reconcileEvery(ms: number): Promise<void>;
  /** When the next upkeep run is due, in ms since the epoch by the clock of a worker; null: none is planned. */
  upkeepAt(): Promise<number | null>;
  close(): Promise<void>;
}

/** Where queues are: a Redis, and the namespace in it. */
export interface QueuesPlace {
  /** Producers have a queue each. */
  readonly config: Pick<Config, 'queue'>;
  readonly redis: RedisTarget;
  readonly store: { readonly keys: Pick<StoreKeys, 'queues'> };
  /** Absent: nothing is traced. */
  readonly tracing?: Pick<Tracing, 'queues'>;
}

/** BullMQ's option for its traces. */
export function traced(tracing: Pick<Tracing, 'queues'> | undefined): { readonly telemetry?: Telemetry } {
  return tracing?.queues ? { telemetry: tracing.queues as Telemetry } : {}; // made by BullMQ's own package
}

export function openQueues(
  { config, redis, store: { keys }, tracing }: QueuesPlace,
  deployments: readonly string[],
  onError: (error: Error) => void,
): Queues {
  const connection = bullConnection(redis);
  const open = (name: string) => {
    const queue = new Queue(name, { connection, prefix: keys.queues, ...traced(tracing) });
    queue.on('error', onError);
    return queue;
  };
  const control = open(CONTROL);
  const requests = open(REQUESTS);
  const inboxes = [requests, control, ...Object.keys(config.queue.producers).map((name) => open(producerQueue(name)))];
  const upkeep = open(UPKEEP);
  const rotate = new Map(deployments.map((deployment) => [deployment, open(rotateQueueName(deployment))]));

  function rotateQueue(deployment: string): Queue {
    const queue = rotate.get(deployment);
    if (queue === undefined) throw new Error(`no queue for deployment ${deployment}`);
    return queue;
  }

  return {
    control,
    requests,
    inboxes,
    upkeep,
    rotateQueue,

    async wake(ref, urgent) {
      const queue = rotateQueue(splitReference(ref).deployment);
      const priority = urgent ? URGENT : ORDINARY;
      const options: JobsOptions = { ...FORGOTTEN, ...RETRIED, jobId: ref, priority };
      for (let missed = 0; ; missed++) {
        const job = await queue.add('rotate', { v: 1, client: ref }, options);
        const state = await queue.getJobState(ref);
        if (urgent && state !== 'active') await job.changePriority({ priority }).catch(() => undefined); // it began, or ended
        if (state === 'delayed') await job.promote().catch(() => undefined); // it woke up by itself
        if (state !== 'unknown') return;
        // One that ended between the two calls is gone, and is added anew. One that stays is in no list, as in a Redis that was
        // copied key by key while jobs ran, and would keep its client asleep for ever.
        if (missed > 0) await queue.remove(ref).catch(() => undefined);
      }
    },

    async wakeSpare(ref) {
      const queue = rotateQueue(splitReference(ref).deployment);
      await queue.add('rotate', { v: 1, client: ref }, { ...FORGOTTEN, ...RETRIED, jobId: ref, priority: SPARE });
    },

    async request(data, id = newRequestId()) {
      const { compromised = false } = members(data);
      const priority = compromised === false ? ORDINARY : URGENT;
      await requests.add('request', data, { ...KEPT, ...RETRIED, jobId: id, priority });
      return id;
    },

    async addUpkeep(name, data, jobId) {
      await upkeep.add(name, data, { ...KEPT, ...RETRIED, jobId });
    },

    async addUpkeepAgain(name, data, jobId) {
      const state = await upkeep.getJobState(jobId);
      // Another worker may have removed it, and added the next.
      if (state === 'completed' || state === 'failed') await upkeep.remove(jobId).catch(() => undefined);
      await upkeep.add(name, data, { ...KEPT, ...RETRIED, jobId });
    },

    async reconcileEvery(every) {
      const planned = await upkeep.getJobScheduler(RECONCILE);
      // BullMQ would keep that time.
      if ((planned?.next ?? 0) > systemClock.now() + 2 * every) await upkeep.removeJobScheduler(RECONCILE);
      await upkeep.upsertJobScheduler(RECONCILE, { every }, { name: RECONCILE, data: { v: 1 }, opts: KEPT });
    },

    async upkeepAt() {
      return (await upkeep.getJobScheduler(RECONCILE))?.next ?? null;
    },

    async close() {
      await Promise.all([...inboxes, upkeep, ...rotate.values()].map((queue) => queue.close()));
    },
  };
}
