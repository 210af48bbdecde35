/** One reading for all who ask at the same time. */
import { monotonic, sleep } from '../time.ts';

/** The longest rest between two readings, in ms. */
const LONGEST_REST_MS = 1_000;

/**
 * `read` runs once at a time, and rests as long as it took, so that many open pages take no more than half of the time of this process. Those who ask
 * meanwhile share the next run: what they get was read after they asked. A failure goes to those who share that run alone.
 */
export function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let free: Promise<void> = Promise.resolve();
  let next: Promise<T> | null = null;

  async function run(): Promise<T> {
    await free;
    next = null;
    const beganAt = monotonic();
    const reading = read();
    const rest = () => sleep(Math.min(LONGEST_REST_MS, monotonic() - beganAt));
    free = reading.then(rest, rest);
    return reading;
  }

  return () => {
    next ??= run();
    return next;
  };
}
