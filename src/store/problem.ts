/** Why the store cannot be worked with now. A problem is reported, and the store is looked at again by itself until there is none. */
import type { RekeydError } from '../errors.ts';
import { monotonic, sleep } from '../time.ts';

/** The first look comes after this time, in ms; each next one after twice as long, up to the longest. */
const AGAIN_MS = 500;
const LONGEST_MS = 5_000;

/** A problem that lasts is reported again after this time, in ms. */
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

  /** Looked at here, because upkeep cannot: it waits for the store, too. */
  async function watch(): Promise<void> {
    watching = true;
    for (let ms = AGAIN_MS; current !== null; ms = Math.min(2 * ms, LONGEST_MS)) {
      await sleep(ms, signal);
      if (signal.aborted) return;
      await lookAgain().catch(() => {}); // it has set the problem
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
