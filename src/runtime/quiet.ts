/** Equal lines of the log are written once a minute, however often something is said: what fails in a loop must not fill a disk. */
import { monotonic } from '../time.ts';

/** For how long the same is not said again, in ms. */
const QUIET_MS = 60_000;

/** Different lines that are remembered. A log with more of them is not a loop. */
const MOST = 500;

export interface Quiet {
  /**
   * Null: the same was said within the last minute. Else how often it was left out since it was last said.
   * @param fields and `message` together are the line, but for its time
   */
  leftOut(fields: unknown, message: unknown): number | null;
}

export function openQuiet(now: () => number = monotonic): Quiet {
  const said = new Map<string, { at: number; missed: number }>();
  return {
    leftOut(fields, message) {
      const key = `${JSON.stringify(fields)} ${String(message)}`;
      const before = said.get(key);
      const at = now();
      if (before !== undefined && at - before.at < QUIET_MS) {
        before.missed += 1;
        return null;
      }
      said.delete(key);
      said.set(key, { at, missed: 0 });
      // In the order in which they were said: the oldest goes first.
      for (const oldest of said.keys()) {
        if (said.size <= MOST) break;
        said.delete(oldest);
      }
      return before?.missed ?? 0;
    },
  };
}
