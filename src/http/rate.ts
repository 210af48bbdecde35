/** How often one caller may ask: a bucket that fills again with time (token bucket). In this process alone. */
import { monotonic } from '../time.ts';
import { ProblemError } from './problem.ts';

export interface Rate {
  readonly max: number;
  readonly perMs: number;
}

interface Bucket {
  left: number;
  at: number;
}

/** So many callers are remembered; one that was forgotten starts with a full bucket. */
const MOST = 10_000;

/** @returns for a caller: 0 when it may ask now, else how long it has to wait, in ms */
export function openLimiter(rate: () => Rate, now: () => number = monotonic): (caller: string) => number {
  const buckets = new Map<string, Bucket>();
  return (caller) => {
    const { max, perMs } = rate();
    const found = buckets.get(caller) ?? { left: max, at: now() };
    const left = Math.min(max, found.left + ((now() - found.at) / perMs) * max);
    const isFree = left >= 1;
    buckets.delete(caller);
    buckets.set(caller, { left: isFree ? left - 1 : left, at: now() });
    const [oldest] = buckets.keys();
    if (buckets.size > MOST && oldest !== undefined) buckets.delete(oldest);
    return isFree ? 0 : ((1 - left) / max) * perMs;
  };
}

/** @param waitMs of the limiter @throws ProblemError 429 */
export function slowDown(waitMs: number, who: string): void {
  if (waitMs === 0) return;
  throw new ProblemError(429, `${who} asks too often. Wait, and ask again.`, {
    headers: { 'retry-after': String(Math.ceil(waitMs / 1000)) },
  });
}
