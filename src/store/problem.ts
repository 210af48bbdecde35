/** What keeps a store from being worked with: it is told, and looked at again by itself until it is over. */
import type { RekeydError } from '../errors.ts';
import { monotonic, sleep } from '../time.ts';

/** Looked at again after this time, in ms, then after twice that, and so on up to the longest. */
const AGAIN_MS = 500;
const LONGEST_MS = 5_000;

/** And told again after this time, in ms. */
const REMIND_MS = 60_000;

export interface ProblemWatch {
  /** Null when all is well. */
  readonly current: RekeydError | null;
  set(next: RekeydError | null): void;
}

export interface ProblemOptions {
  /** Told when the problem is another one, or over, and once a minute while it lasts. */
  readonly onChange: (problem: RekeydError | null) => void;
  /** Sets the problem, or that there is none. May reject. */
  readonly lookAgain: () => Promise<void>;
  readonly signal: AbortSignal;
}

export function watchProblem({ onChange, lookAgain, signal }: ProblemOptions): ProblemWatch {
  let current: RekeydError | null = null;
  let toldAt = monotonic();
  let watching = false;

  /** Nobody else may look: upkeep itself waits for the store. */
  async function watch(): Promise<void> {
    watching = true;
    for (let ms = AGAIN_MS; current !== null; ms = Math.min(2 * ms, LONGEST_MS)) {
      await sleep(ms, signal);
      if (signal.aborted) return;
      await lookAgain().catch(() => {}); // it is the problem now
    }
    watching = false;
  }

  return {
    get current() {
      return current;
    },
    set(next) {
      const isNews = current?.message !== next?.message;
      current = next;
      if (isNews || (next !== null && monotonic() - toldAt > REMIND_MS)) {
        toldAt = monotonic();
        onChange(next);
      }
      if (next !== null && !watching) void watch();
    },
  };
}
