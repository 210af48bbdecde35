/** How far a fleet of rotations is: one line that is written anew on a terminal, and elsewhere a line a minute. */
import { formatDuration } from '../core/duration.ts';

/** Counts of rotations. */
export interface Counts {
  readonly total: number;
  /** They came to what is waited for. */
  readonly done: number;
  readonly failed: number;
  /** Their new keys sign in, and more is waited for. */
  readonly active: number;
  /** Begun, and not yet that far. */
  readonly underWay: number;
  /** Of those, how many are at a step that failed and is tried again. */
  readonly retrying: number;
}

/** Where the line goes. */
export interface Screen {
  /** Null: no terminal. Otherwise how many characters a line of it has. */
  readonly columns: number | null;
  write(text: string): void;
  /** Milliseconds of a clock that never jumps. */
  now(): number;
}

export interface Progress {
  /** Shows how far it is, now or when a line is next due. */
  show(counts: Counts): void;
  /** A line that stays. */
  tell(line: string): void;
  /** Takes the progress line away. */
  end(): void;
}

/** Between two lines where there is no terminal, in ms. */
const LINE_MS = 60_000;

/** The rate is that of the last so many ms: a fleet that was held up shows it. */
const RATE_MS = 30_000;

/** Between two samples for the rate, and how long a rate has to be seen before it is told, in ms. */
const SAMPLE_MS = 1_000;

/** Erases the line. What is written next begins at the first column. */
const ERASE = '\x1b[2K';

export function openProgress({ columns, write, now }: Screen): Progress {
  const rate = openRate();
  let nextAt = now() + LINE_MS;
  let shown = '';
  return {
    show(counts) {
      const at = now();
      rate.sample(at, counts.done + counts.failed);
      const line = progressLine(counts, rate.perSecond());
      if (columns === null) {
        if (at < nextAt) return;
        nextAt = at + LINE_MS;
        write(`${line}\n`);
      } else if (line !== shown) {
        shown = line;
        write(`${ERASE}${line.slice(0, columns - 1)}\r`);
      }
    },
    tell(line) {
      write(`${shown === '' ? '' : ERASE}${line}\n`);
      shown = '';
    },
    end() {
      if (shown !== '') write(ERASE);
      shown = '';
    },
  };
}

/** @param perSecond rotations that end in a second; null while that is not known */
export function progressLine(counts: Counts, perSecond: number | null): string {
  const { total, done, failed, active, underWay, retrying } = counts;
  const parts = [
    `${done} of ${total} done`,
    failed === 0 ? null : `${failed} failed`,
    active === 0 ? null : `${active} with their new keys in use`,
    underWay === 0 ? null : `${underWay} under way${retrying === 0 ? '' : ` (${retrying} try a step again)`}`,
    perSecond === null ? null : rateWords(perSecond),
    perSecond === null ? null : `${formatDuration(leftMs(total - done - failed, perSecond))} left`,
  ];
  return parts.filter((part) => part !== null).join(', ');
}

function rateWords(perSecond: number): string {
  return perSecond >= 1 ? `${Math.round(perSecond)} a second` : `${Math.max(1, Math.round(perSecond * 60))} a minute`;
}

/** In whole seconds. */
function leftMs(left: number, perSecond: number): number {
  return Math.ceil(left / perSecond) * 1_000;
}

/** From the first look on: what had ended before it says nothing of the rate. */
function openRate() {
  let samples: readonly { readonly at: number; readonly ended: number }[] = [];
  return {
    sample(at: number, ended: number): void {
      const last = samples.at(-1);
      if (last !== undefined && at - last.at < SAMPLE_MS) return;
      samples = [...samples.filter((sample) => at - sample.at <= RATE_MS), { at, ended }];
    },
    perSecond(): number | null {
      const [first, last] = [samples[0], samples.at(-1)];
      if (first === undefined || last === undefined || last.ended === first.ended) return null;
      return ((last.ended - first.ended) * 1_000) / (last.at - first.at);
    },
  };
}
