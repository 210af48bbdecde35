/** What a figure is, and how the numbers of its rounds become one. */

/** A `ratio` is to be at least its goal, anything else at most. */
export type Unit = 'ratio' | 's' | 'MiB' | '%';

export interface Result {
  readonly id: string;
  readonly what: string;
  /** The median of the rounds. */
  readonly value: number;
  readonly unit: Unit;
  readonly goal: number;
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
  readonly id: string;
  /** One result or several that come out of the same rounds. */
  measure(scale: Scale): Promise<readonly Result[]>;
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  const lower = sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** Each member's median over the rounds. */
export function medians<Name extends string>(rounds: readonly Readonly<Record<Name, number>>[]): Record<Name, number> {
  const names = Object.keys(rounds[0] ?? {}) as Name[]; // a record has no other names
  const entries = names.map((name) => [name, round(median(rounds.map((one) => one[name])))]);
  return Object.fromEntries(entries);
}

export function judge(
  about: Pick<Result, 'id' | 'what' | 'unit' | 'goal' | 'baseline' | 'perRotation'>,
  rounds: readonly number[],
): Result {
  const value = round(median(rounds));
  const met = about.unit === 'ratio' ? value >= about.goal : value <= about.goal;
  const { id, what, unit, goal, baseline, perRotation } = about;
  const more = perRotation === undefined ? {} : { perRotation };
  return { id, what, value, unit, goal, met, rounds: rounds.map(round), baseline, ...more };
}

/** Three significant digits; whole from a thousand on. */
function round(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
}
