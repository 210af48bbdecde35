/** Waiting until a job has ended. */
import type { Job, Queue } from 'bullmq';
import type { RequestResult } from '../../jobs/request.ts';
import { until } from './until.ts';

type Lookup = Pick<Queue, 'name' | 'getJob'>;

/** The job once it has ended, also when it failed. One that does not end is told of with what it last said of itself. */
export function ended(queue: Lookup, id = '', timeoutMs?: number): Promise<Job> {
  return until(
    `job ${id} of queue ${queue.name} ends`,
    async (saw) => {
      const job: Job | undefined = await queue.getJob(id);
      saw(job && { attemptsMade: job.attemptsMade, failedReason: job.failedReason, progress: job.progress });
      return job?.finishedOn !== undefined && job;
    },
    timeoutMs,
  );
}

/** What a request came to. @throws with its reason when it failed */
export async function answered(queue: Lookup, id?: string, timeoutMs?: number): Promise<RequestResult> {
  const { failedReason, returnvalue } = await ended(queue, id, timeoutMs);
  if (failedReason) throw new Error(failedReason);
  return returnvalue;
}
