/** How long a caller is kept waiting: for Redis, and for a worker that takes a request. */
import type { Queues } from '../../jobs/queues.ts';
import type { RequestResult } from '../../jobs/request.ts';
import { requestResult } from '../../jobs/result.ts';
import { answerOf } from '../store/redis/patience.ts';
import { after } from '../time.ts';

const NEVER = new AbortController().signal;

/** Commands to Redis wait for as long as it is away; `work` may take `ms`. It goes on after that. @throws RekeydError `redis_unreachable` */
export function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return answerOf(work, { signal: NEVER, ms }, '') as Promise<T>; // null only after an abort, and nothing aborts
}

/** How long a caller waits for Redis, in ms. */
const SOON_MS = 5_000;

/** As {@link within}, for a few commands. */
export function soon<T>(work: Promise<T>): Promise<T> {
  return within(SOON_MS, work);
}

/** How long a caller waits for a worker to take a request, in ms. */
const TAKEN_MS = 20_000;

export interface Awaited {
  /** Null: it has not been begun in that time. */
  readonly result: RequestResult | null;
  /** Why a worker put it off; null: no worker has said so. */
  readonly waitsFor: string | null;
}

/** What a request came to within {@link TAKEN_MS}. @throws RekeydError `request_failed`, `request_lost`, `redis_unreachable` */
export async function resultOf(queues: Queues, id: string, gone: AbortSignal): Promise<Awaited> {
  let waitsFor: string | null = null;
  const onRetry = (why: string) => {
    waitsFor = why;
  };
  const signal = AbortSignal.any([gone, after(TAKEN_MS)]);
  const result = await requestResult(queues, id, { signal, ms: SOON_MS, onRetry });
  return { result, waitsFor };
}
