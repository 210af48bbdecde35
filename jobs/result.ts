/** Waiting for what a request came to, for those who add one and want to know. */
import type { ClientRef } from '../src/core/client.ts';
import { members } from '../src/core/reply.ts';
import { RekeydError } from '../src/errors.ts';
import { answerOf, type Patience } from '../src/store/redis/patience.ts';
import { monotonic, sleep } from '../src/time.ts';
import type { Queues } from './queues.ts';
import type { NotEnrolled, RequestResult } from './request.ts';

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

/** How far a request has come. */
export type RequestState =
  /** It never was in the queue, or ended too long ago. */
  | { readonly is: 'unknown' }
  /** `result`: what `fanOut` returns, through JSON. */
  | { readonly is: 'done'; readonly result: RequestResult }
  | { readonly is: 'failed'; readonly why: string }
  /** `tries`: how often it was begun and put off. `why`: what it waits for; empty while nobody has begun it. */
  | { readonly is: 'waiting'; readonly tries: number; readonly why: string };

export async function requestState({ requests }: Pick<Queues, 'requests'>, id: string): Promise<RequestState> {
  // In this order: a job that was read before it ended would have no return value yet.
  const state = await requests.getJobState(id);
  const job = await requests.getJob(id);
  if (job === undefined) return { is: 'unknown' };
  // A power cut between the two takes the job back to where it was: it has neither reason nor result then, and waits.
  if (state === 'failed' && job.failedReason) return { is: 'failed', why: job.failedReason };
  const result: RequestResult | null = state === 'completed' ? job.returnvalue : null; // what `requestJob` returns, through JSON
  if (result !== null) {
    return result.same_as === undefined ? { is: 'done', result } : requestState({ requests }, result.same_as);
  }
  const { tries = 0, why = '' } = members(job.progress) as Partial<PutOff>; // absent until it is put off
  return { is: 'waiting', tries, why };
}

/**
 * What a request came to once a worker has run it, however long that takes; null when `signal` aborted first.
 * @throws RekeydError `request_failed` when the job failed for good; `request_lost` when it is gone; `redis_unreachable`
 */
export async function requestResult(queues: Queues, id: string, options: WaitOptions): Promise<RequestResult | null> {
  const { signal, onRetry } = options;
  let told = '';
  let toldAt = 0;
  let waitMs = FIRST_POLL_MS;
  for (; !signal.aborted; await sleep(waitMs, signal)) {
    waitMs = Math.min(POLL_MS, 2 * waitMs);
    const found = await answerOf(requestState(queues, id), options, stillQueued(id));
    if (found === null) break;
    if (found.is === 'done') return found.result;
    if (found.is === 'failed') throw new RekeydError('request_failed', `Request ${id} failed: ${found.why}`);
    if (found.is === 'unknown') throw new RekeydError('request_lost', `Request ${id} ${LOST}`);
    const { why } = found;
    if (why === '' || (why === told && monotonic() - toldAt < REMIND_MS)) continue;
    told = why;
    toldAt = monotonic();
    onRetry(why);
  }
  return null;
}

const LOST =
  'is no longer in the queue: Redis lost it, as in a power cut. It may have been begun: see `rekeyd status`, and ask again.';

/** What becomes of a request while Redis is away. */
function stillQueued(id: string): string {
  return `Request ${id} stays queued and is worked on when Redis is back.`;
}

/** How many workers take requests. Where Redis does not tell (managed services may forbid `CLIENT LIST`), one. */
export function countWorkers({ requests }: Queues): Promise<number> {
  return requests.getWorkersCount();
}
