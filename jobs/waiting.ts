/** Requests that are in the queue and not answered yet. They survive the loss of a store, and run when a worker is connected. */

import type { Job, JobType } from 'bullmq';
import { members, shortMessage } from '../src/core/reply.ts';
import type { PutOffRequests, RequestStatus } from '../src/status/model.ts';
import { producerOf, requestName } from './inboxes.ts';
import type { Queues } from './queues.ts';
import type { PutOff } from './result.ts';
import { requestSchema } from './schemas.ts';

export interface WaitingRequest {
  readonly id: string;
  /** Null: the job's data cannot be read, so it will fail. */
  readonly reason: string | null;
  readonly compromised: boolean;
}

/** The oldest first. */
export async function waitingRequests(queues: Queues): Promise<readonly WaitingRequest[]> {
  const jobs = await oldestFirst(queues, ['active', 'prioritized', 'waiting', 'delayed']);
  return jobs.map(({ id: job = '', queueName, data }) => {
    const id = requestName(queueName, job);
    const asked = requestSchema.safeParse(data).data;
    if (asked === undefined) return { id, reason: null, compromised: false };
    return { id, reason: shortMessage(asked.reason), compromised: asked.compromised !== false };
  });
}

/** How many requests of each queue are read: any program may add as many as it likes. */
const MOST_READ = 100;

/** Requests that a worker began and put off. */
export async function putOffRequests(queues: Pick<Queues, 'inboxes'>): Promise<PutOffRequests> {
  const read = await oldestFirst(queues, ['delayed'], MOST_READ);
  const counts = await Promise.all(queues.inboxes.map((inbox) => inbox.getDelayedCount()));
  const delayed = counts.reduce((sum, count) => sum + count, 0);
  return { requests: read.flatMap(statusOf), requests_more: Math.max(0, delayed - read.length) };
}

/** Empty: no worker has begun it. A program may add a job that only begins later. */
function statusOf({ id: job = '', queueName, data, progress }: Job): readonly RequestStatus[] {
  const { why } = members(progress) as Partial<PutOff>; // absent until it is put off
  if (why === undefined) return [];
  const reason = requestSchema.safeParse(data).data?.reason;
  return [{ request: requestName(queueName, job), reason: reason === undefined ? null : shortMessage(reason), why }];
}

/** @param name see {@link requestName} */
export async function findRequest({ inboxes }: Pick<Queues, 'inboxes'>, name: string): Promise<Job | undefined> {
  for (const inbox of inboxes) {
    const producer = producerOf(inbox.name);
    const isIts = producer === null || name.startsWith(`${producer}:`);
    const job = isIts ? await inbox.getJob(producer === null ? name : name.slice(producer.length + 1)) : undefined;
    if (job !== undefined) return job;
  }
  return undefined;
}

/** @param most of each queue and state: those that come next */
async function oldestFirst({ inboxes }: Pick<Queues, 'inboxes'>, states: JobType[], most?: number): Promise<Job[]> {
  const last = most === undefined ? -1 : most - 1;
  const jobs = await Promise.all(inboxes.map((inbox) => inbox.getJobs(states, 0, last, true)));
  return jobs.flat().sort((a, b) => a.timestamp - b.timestamp);
}
