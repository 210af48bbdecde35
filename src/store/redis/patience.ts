/** How long a person waits for Redis. Commands wait until a lost connection is back, however long that takes: right for a worker, not for a terminal. */
import { RekeydError } from '../../errors.ts';
import { sleep } from '../../time.ts';

/** In ms. As long as it takes to notice that a connection is dead. */
const PATIENCE_MS = 30_000;

export interface Patience {
  /** Ends the waiting, not the command. */
  readonly signal: AbortSignal;
  readonly ms?: number;
}

/**
 * @param meanwhile what happens to the command after that: a sentence of the error, or ''
 * @returns what Redis answers; null when `signal` aborted first
 * @throws RekeydError `redis_unreachable` when it does not answer in time
 */
export async function answerOf<T>(
  command: Promise<T>,
  { signal, ms = PATIENCE_MS }: Patience,
  meanwhile: string,
): Promise<T | null> {
  const answered = new AbortController();
  const silent = sleep(ms, AbortSignal.any([signal, answered.signal])).then(() => {
    if (signal.aborted || answered.signal.aborted) return null;
    throw new RekeydError(
      'redis_unreachable',
      `Redis has not answered for ${Math.ceil(ms / 1000)} s. ${meanwhile} Start the server, or see what keeps it.`,
    );
  });
  try {
    return await Promise.race([command, silent]);
  } finally {
    answered.abort();
  }
}
