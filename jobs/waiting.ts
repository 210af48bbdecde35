/** Requests that are in the queue and not answered yet. They survive the loss of a store, and run when a worker is connected. */

import type { Job, JobType } from 'bullmq';
import { members, shortMessage } from '../src/core/reply.ts';
import type { RequestStatus } from '../src/status/model.ts';
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

/** Requests that a worker began and put off, the oldest first. */
export async function putOffRequests(queues: Pick<Queues, 'inboxes'>): Promise<readonly RequestStatus[]> {
  const jobs = await oldestFirst(queues, ['delayed']);
  return jobs.flatMap(({ id: job = '', queueName, data, progress }) => {
    const request = requestName(queueName, job);
    const { why } = members(progress) as Partial<PutOff>; // absent until it is put off
    const reason = requestSchema.safeParse(data).data?.reason ?? null;
    return why === undefined ? [] : [{ request, reason: reason === null ? null : shortMessage(reason), why }];
  });
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

async function oldestFirst({ inboxes }: Pick<Queues, 'inboxes'>, states: JobType[]): Promise<Job[]> {
  const jobs = await Promise.all(inboxes.map((inbox) => inbox.getJobs(states)));
  return jobs.flat().sort((a, b) => a.timestamp - b.timestamp);
}
