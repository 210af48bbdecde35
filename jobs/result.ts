/** Waiting for what a request came to, for those who add one and want to know. */
import type { ClientRef } from '../src/core/client.ts';
import { members } from '../src/core/reply.ts';
import { RekeydError } from '../src/errors.ts';
import { answerOf, type Patience } from '../src/store/redis/patience.ts';
import { monotonic, sleep } from '../src/time.ts';
import type { Queues } from './queues.ts';
import type { NotEnrolled } from './request.ts';

/** Between two looks. Most requests are answered in a few ms: the first looks come sooner. */
const POLL_MS = 100;
const FIRST_POLL_MS = 3;

/** Somebody who waits is reminded of the same reason this often. */
const REMIND_MS = 60_000;

/** What a job that was put off tells of itself, as its progress. */
export interface PutOff {
  /** How often it was begun. */
  readonly tries: number;
  /** What came of the last time. */
  readonly why: string;
  /** What it has begun, or joined, so far: the answer names those too. */
  readonly rotations: readonly { readonly id: string; readonly client: ClientRef }[];
  readonly taken_over: readonly NotEnrolled[];
  /** How often the config of a worker did not know what it is about. */
  readonly unknown: number;
  /** When it was first taken up, ms since the Unix epoch. */
  readonly since: number;
}

export interface WaitOptions extends Patience {
  /** Told why the job waits: the first time, when the reason changes, and else once a minute. */
  readonly onRetry: (why: string) => void;
}

/**
 * The return value of a request once a worker has run it, however long that takes; null when `signal` aborted first.
 * @throws RekeydError `request_failed` when the job failed for good; `redis_unreachable`
 */
export async function requestResult({ requests }: Queues, id: string, options: WaitOptions): Promise<unknown> {
  const { signal, onRetry } = options;
  const read = async () => {
    // In this order: a job that was read before it ended would have no return value yet.
    const state = await requests.getJobState(id);
    return { state, job: await requests.getJob(id) };
  };
  let told: string | null = null;
  let toldAt = 0;
  let waitMs = FIRST_POLL_MS;
  for (; !signal.aborted; await sleep(waitMs, signal)) {
    waitMs = Math.min(POLL_MS, 2 * waitMs);
    const found = await answerOf(read(), options, stillQueued(id));
    if (found === null) break;
    const { state, job } = found;
    if (job === undefined || state === 'failed') {
      const why = job?.failedReason ?? 'it is no longer in the queue';
      throw new RekeydError('request_failed', `Request ${id} failed: ${why}`);
    }
    if (state === 'completed') return job.returnvalue;
    const { why } = members(job.progress) as Partial<PutOff>; // absent until it is put off
    if (why === undefined || (why === told && monotonic() - toldAt < REMIND_MS)) continue;
    told = why;
    toldAt = monotonic();
    onRetry(why);
  }
  return null;
}

/** What becomes of a request while Redis is away. */
function stillQueued(id: string): string {
  return `Request ${id} stays queued and is worked on when Redis is back.`;
}

/** How many workers take requests. Where Redis does not tell (managed services may forbid `CLIENT LIST`), one. */
export function countWorkers({ requests }: Queues): Promise<number> {
  return requests.getWorkersCount();
}
