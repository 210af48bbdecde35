/** The queues for people: how many jobs each has, and the newest jobs that failed. */
import type { Job, Queue } from 'bullmq';
import { shortMessage } from '../src/core/reply.ts';
import { CONTROL, REQUESTS } from './inboxes.ts';
import type { Queues } from './queues.ts';

export interface QueueView {
  readonly queue: string;
  /** In a few words. */
  readonly what: string;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
}

export interface FailedJob {
  readonly queue: string;
  readonly job: string;
  readonly name: string;
  readonly reason: string;
  /** RFC 3339; null: not known. */
  readonly at: string | null;
}

export interface QueuesView {
  readonly at: string;
  readonly queues: readonly QueueView[];
  /** The newest first. */
  readonly failed: readonly FailedJob[];
  /** How many more failed than are listed. */
  readonly more: number;
}

/** How many failed jobs are listed, of all queues together. */
const MOST_FAILED = 25;

/** @param now the store's clock, ms since the epoch */
export async function queuesView(queues: Queues, deployments: readonly string[], now: number): Promise<QueuesView> {
  const rotate = deployments.map((deployment) => ({
    queue: queues.rotateQueue(deployment),
    what: `rotations of deployment ${deployment}`,
  }));
  const inboxes = queues.inboxes.map((queue) => ({ queue, what: inboxWords(queue.name) }));
  const all = [...rotate, ...inboxes, { queue: queues.upkeep, what: 'sweeps, lists of clients, seals' }];
  const counted = await Promise.all(all.map(({ queue, what }) => countOf(queue, what)));
  const failed = await Promise.all(all.map(({ queue }) => queue.getFailed(0, MOST_FAILED - 1)));
  const newest = failed
    .flat()
    .sort((a, b) => (b.finishedOn ?? 0) - (a.finishedOn ?? 0))
    .slice(0, MOST_FAILED);
  const total = counted.reduce((sum, { failed }) => sum + failed, 0);
  return {
    at: new Date(now).toISOString(),
    queues: counted,
    failed: newest.map(failedView),
    more: Math.max(0, total - newest.length),
  };
}

function inboxWords(name: string): string {
  if (name === REQUESTS) return 'requests of commands, the API and this page';
  return name === CONTROL ? 'requests of any program' : 'requests of one producer';
}

async function countOf(queue: Queue, what: string): Promise<QueueView> {
  const {
    waiting = 0,
    prioritized = 0,
    active = 0,
    delayed = 0,
    failed = 0,
  } = await queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'failed');
  return { queue: queue.name, what, waiting: waiting + prioritized, active, delayed, failed };
}

function failedView({ queueName, id = '', name, failedReason, finishedOn }: Job): FailedJob {
  const reason = failedReason ? shortMessage(failedReason) : 'no reason is known';
  return {
    queue: queueName,
    job: id,
    name,
    reason,
    at: finishedOn === undefined ? null : new Date(finishedOn).toISOString(),
  };
}
