import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 15;

/**
 * Asks again and again until there is an answer. Nothing in a test may rest on how long a thing takes: the time-out is there to name what did
 * not happen, long before the test runner's own.
 * @param ask null, undefined and false mean: not yet
 */
export async function until<T>(
  what: string,
  ask: () => T | null | undefined | false | Promise<T | null | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await delay(POLL_MS);
  }
}
