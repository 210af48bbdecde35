import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { LAG_MS } from './slowness.ts';

const POLL_MS = 15;

/** In ms. What takes longer than that on a machine that is busy with other tests says so. */
const PATIENCE_MS = 15_000;

/** How much of what was seen is told, in characters. */
const MOST_TOLD = 1_000;

type Answer<T> = T | null | undefined | false;

/** Notes what was seen, for the error. @returns its argument */
export type Saw = <T>(seen: T) => T;

/** Asked when something did not happen: what goes on beside it, such as the latest lines of a log. */
const witnesses = new Set<() => unknown>();

/** @returns takes the witness away again */
export function witness(tell: () => unknown): () => void {
  witnesses.add(tell);
  return () => void witnesses.delete(tell);
}

/**
 * Asks again and again until there is an answer. Nothing in a test may rest on how long a thing takes: the time-out is there to name what did
 * not happen, and what was seen instead, long before the test runner's own.
 * @param ask null, undefined and false mean: not yet
 */
export async function until<T>(
  what: string,
  ask: (saw: Saw) => Answer<T> | Promise<Answer<T>>,
  timeoutMs = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let seen: { readonly last: unknown } | null = null;
  const saw: Saw = (last) => {
    seen = { last };
    return last;
  };
  for (;;) {
    const answer = await ask(saw);
    if (answer !== null && answer !== undefined && answer !== false) {
      if (LAG_MS > 0) await delay(LAG_MS);
      return answer;
    }
    if (performance.now() > deadline) throw new Error(notSeen(what, timeoutMs, seen ?? { last: answer }));
    await delay(POLL_MS);
  }
}

function notSeen(what: string, timeoutMs: number, { last }: { readonly last: unknown }): string {
  const beside = [...witnesses].map((tell) => `\nBeside it: ${told(tell())}`);
  return `${what}: not within ${timeoutMs} ms. Last seen: ${told(last)}${beside.join('')}`;
}

function told(seen: unknown): string {
  // The latest of a log is at its end.
  if (typeof seen === 'string') return seen.slice(-MOST_TOLD);
  return inspect(seen, { depth: 5, breakLength: 120, maxArrayLength: 20 }).slice(0, MOST_TOLD);
}
