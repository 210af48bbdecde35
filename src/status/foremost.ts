/** Keeps the first few of many items, in order. */

export interface Foremost<T> {
  offer(item: T): void;
  /** How many were offered. */
  readonly offered: number;
  /** The first of them, in order. */
  list(): readonly T[];
}

/**
 * Holds no more than twice `limit` items, however many are offered.
 * @param before negative when `a` stands before `b`
 */
export function keepForemost<T>(limit: number, before: (a: T, b: T) => number): Foremost<T> {
  let kept: T[] = [];
  let offered = 0;
  const trim = () => {
    kept = kept.sort(before).slice(0, limit);
  };
  return {
    offer(item) {
      offered += 1;
      kept.push(item);
      if (kept.length > 2 * limit) trim();
    },
    get offered() {
      return offered;
    },
    list() {
      trim();
      return kept;
    },
  };
}
