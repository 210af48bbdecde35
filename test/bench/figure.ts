/** What a figure is, and how the numbers of its rounds become one. */

export type Unit = 'ratio' | 's' | 'MiB' | '%';

/** What the goal is: the least that is good enough, or the most. */
export type Bound = 'least' | 'most';

export interface Result {
  readonly id: string;
  readonly what: string;
  /** The median of the rounds. */
  readonly value: number;
  readonly unit: Unit;
  readonly goal: number;
  readonly bound: Bound;
  readonly met: boolean;
  readonly rounds: readonly number[];
  /** What was measured beside it in the same minute on the same server, medians too. */
  readonly baseline: Readonly<Record<string, number>>;
  /** Where the time goes, for one rotation. */
  readonly perRotation?: Readonly<Record<string, number>>;
}

export interface Scale {
  readonly rounds: number;
  /** A tenth of everything: shows that it works, and no more than that. */
  readonly quick: boolean;
}

export interface Figure {
  /** Of its results: one or several that come out of the same rounds. */
  readonly ids: readonly string[];
  measure(scale: Scale): Promise<readonly Result[]>;
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  const lower = sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** The slowest but one in a hundred: a value that was measured. NaN of none. */
export function p99(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.ceil(numbers.length * 0.99) - 1] ?? Number.NaN;
}

/** Each member's median over the rounds. */
export function medians<Name extends string>(rounds: readonly Readonly<Record<Name, number>>[]): Record<Name, number> {
  const names = Object.keys(rounds[0] ?? {}) as Name[]; // a record has no other names
  const entries = names.map((name) => [name, round(median(rounds.map((one) => one[name])))]);
  return Object.fromEntries(entries);
}

type About = Pick<Result, 'id' | 'what' | 'unit' | 'goal' | 'baseline' | 'perRotation'> &
  Partial<Pick<Result, 'bound'>>;

/** Without a `bound`, a ratio is to be at least its goal, and anything else at most. */
export function judge(about: About, rounds: readonly number[]): Result {
  const { id, what, unit, goal, baseline, perRotation, bound = unit === 'ratio' ? 'least' : 'most' } = about;
  const value = round(median(rounds));
  const met = bound === 'least' ? value >= goal : value <= goal;
  const more = perRotation === undefined ? {} : { perRotation };
  return { id, what, value, unit, goal, bound, met, rounds: rounds.map(round), baseline, ...more };
}

/** Three significant digits; whole from a thousand on. */
function round(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
}
