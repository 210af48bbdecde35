/** The queues: `control` for what concerns many clients, one `rotate-…` per deployment, whose limiter is that deployment's API budget. */
import { type ConnectionOptions, type JobsOptions, Queue } from 'bullmq';
import type { ClientRef } from '../src/core/client.ts';
import { splitReference } from '../src/core/client.ts';
import { bullConnectionOptions } from '../src/store/redis/connection.ts';
import type { RedisTarget } from '../src/store/redis/target.ts';
import { systemClock } from '../src/time.ts';

/** A hash tag: all keys in one slot of a Redis Cluster. */
export const PREFIX = '{rekeyd}';
export const CONTROL = 'control';
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

/** For what nobody foresaw: exponential with full jitter. Foreseen failures are counted in the record and never get here. */
const RETRIED = { attempts: 8, backoff: { type: 'exponential', delay: 500, jitter: 1 } } as const satisfies JobsOptions;

/** BullMQ takes jobs without a priority (0) first: that is for what is urgent, or asked for by a person. */
const ORDINARY = 10;
const URGENT = 0;

export interface Queues {
  readonly control: Queue;
  rotateQueue(deployment: string): Queue;
  /** Sees to it that a worker looks at this client soon. Idempotent: the job is named after the rotation. */
  wake(ref: ClientRef, rotation: string, urgent: boolean): Promise<void>;
  addControl(name: string, data: object, jobId?: string): Promise<string>;
  /**
   * One upkeep run every `ms`, however many replicas ask for it. Asked again, it brings back one that was lost, or that a machine whose clock was
   * ahead has put off.
   */
  reconcileEvery(ms: number): Promise<void>;
  close(): Promise<void>;
}

export function openQueues(
  target: RedisTarget,
  deployments: readonly string[],
  onError: (error: Error) => void,
): Queues {
  const connection = bullConnection(target);
  const open = (name: string) => {
    const queue = new Queue(name, { connection, prefix: PREFIX });
    queue.on('error', onError);
    return queue;
  };
  const control = open(CONTROL);
  const rotate = new Map(deployments.map((deployment) => [deployment, open(rotateQueueName(deployment))]));

  function rotateQueue(deployment: string): Queue {
    const queue = rotate.get(deployment);
    if (queue === undefined) throw new Error(`no queue for deployment ${deployment}`);
    return queue;
  }

  return {
    control,
    rotateQueue,

    async wake(ref, rotation, urgent) {
      const queue = rotateQueue(splitReference(ref).deployment);
      const data = { v: 1, client: ref, rotation };
      const options: JobsOptions = { ...KEPT, ...RETRIED, jobId: rotation, priority: urgent ? URGENT : ORDINARY };
      const existing = await queue.getJob(rotation);
      const state = await existing?.getState();
      if (urgent && existing !== undefined) await existing.changePriority({ priority: URGENT });
      if (existing !== undefined && state === 'delayed') {
        await existing.promote().catch(() => undefined); // it woke up by itself meanwhile
        return;
      }
      // An ended job keeps its id taken: adding it again would be ignored.
      if (state === 'completed' || state === 'failed') await existing?.remove().catch(() => undefined);
      await queue.add('rotate', data, options);
    },

    async addControl(name, data, jobId) {
      const priority = name === 'request' ? URGENT : ORDINARY;
      const id = jobId === undefined ? {} : { jobId };
      const job = await control.add(name, data, { ...KEPT, ...RETRIED, priority, ...id });
      return job.id ?? '';
    },

    async reconcileEvery(every) {
      const planned = await control.getJobScheduler(RECONCILE);
      // BullMQ would keep that time.
      if ((planned?.next ?? 0) > systemClock.now() + 2 * every) await control.removeJobScheduler(RECONCILE);
      await control.upsertJobScheduler(
        RECONCILE,
        { every },
        { name: RECONCILE, data: { v: 1 }, opts: { ...KEPT, priority: ORDINARY } },
      );
    },

    async close() {
      await Promise.all([control, ...rotate.values()].map((queue) => queue.close()));
    },
  };
}
