/**
 * A rest for workers when Redis refuses their commands. BullMQ asks for the next job again at once, thousands of times a second, which keeps a server busy that
 * is in trouble already.
 */
import type { Worker } from 'bullmq';
import { isOutage } from '../src/store/redis/replies.ts';
import { sleep } from '../src/time.ts';

/** Of the first rest, in ms; each is twice as long as the one before, up to the longest. */
const FIRST_MS = 100;
const LONGEST_MS = 5_000;

/** @param signal ends the rest, and no other one begins */
export function restAfterErrors(worker: Worker, signal: AbortSignal): void {
  let ms = FIRST_MS;
  let isResting = false;
  const recovered = () => {
    ms = FIRST_MS;
  };
  worker.on('active', recovered);
  worker.on('drained', recovered);
  worker.on('error', (error) => {
    // While Redis is away, commands wait for it.
    if (isResting || signal.aborted || isOutage(error)) return;
    isResting = true;
    rest()
      .catch(() => {}) // the next error begins another
      .finally(() => {
        isResting = false;
      });
  });

  async function rest(): Promise<void> {
    const now = ms;
    ms = Math.min(2 * ms, LONGEST_MS);
    await worker.pause(true); // jobs under way go on
    await sleep(now, signal);
    if (!signal.aborted) await worker.resume();
  }
}
