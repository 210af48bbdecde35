/** Requests that are in the queue and not answered yet. They survive the loss of a store, and run when a worker is connected. */
import { members, shortMessage } from '../src/core/reply.ts';
import type { Queues } from './queues.ts';
import type { PutOff } from './result.ts';
import { requestSchema } from './schemas.ts';

export interface WaitingRequest {
  /** Of its job. */
  readonly id: string;
  /** Null: the job's data cannot be read, so it will fail. */
  readonly reason: string | null;
  readonly compromised: boolean;
}

/** The oldest first. */
export async function waitingRequests({ control }: Queues): Promise<readonly WaitingRequest[]> {
  const jobs = await control.getJobs(['active', 'prioritized', 'waiting', 'delayed']);
  const oldestFirst = jobs.sort((a, b) => a.timestamp - b.timestamp);
  return oldestFirst.map(({ id = '', data }) => {
    const asked = requestSchema.safeParse(data).data;
    if (asked === undefined) return { id, reason: null, compromised: false };
    return { id, reason: shortMessage(asked.reason), compromised: asked.compromised !== false };
  });
}

/** A request that a worker began and put off, and why. */
export interface PutOffRequest {
  readonly id: string;
  readonly reason: string | null;
  readonly why: string;
}

/** The oldest first. */
export async function putOffRequests({ control }: Queues): Promise<readonly PutOffRequest[]> {
  const jobs = await control.getJobs(['delayed']);
  const oldestFirst = jobs.sort((a, b) => a.timestamp - b.timestamp);
  return oldestFirst.flatMap(({ id = '', data, progress }) => {
    const { why } = members(progress) as Partial<PutOff>; // absent until it is put off
    const reason = requestSchema.safeParse(data).data?.reason ?? null;
    return why === undefined ? [] : [{ id, reason: reason === null ? null : shortMessage(reason), why }];
  });
}
