/** What all runs came to: for people a table, for programs one document. */
import type { Violation } from './checker.ts';
import type { ScenarioResult } from './scenario.ts';

export interface Totals {
  readonly seeds: number;
  readonly kills: number;
  readonly lock_losses: number;
  readonly redis_faults: number;
  readonly rotations: number;
  readonly logins: { readonly ok: number; readonly fallback: number; readonly refused: number };
  readonly lost_keys: number;
  readonly violations: readonly (Violation & { readonly seed: number })[];
  readonly mutants: { readonly total: number; readonly caught: number };
}

export function totalsOf(results: readonly ScenarioResult[], mutants: Totals['mutants']): Totals {
  const sum = (of: (result: ScenarioResult) => number) => results.reduce((total, result) => total + of(result), 0);
  const violations = results.flatMap(({ seed, violations }) => violations.map((violation) => ({ seed, ...violation })));
  const lost = violations.filter(({ rule }) => rule === 'lost_key').map(({ seed, ref }) => `${seed} ${ref}`);
  return {
    seeds: results.length,
    kills: sum(({ kills }) => kills),
    lock_losses: sum(({ lockLosses }) => lockLosses),
    redis_faults: sum(({ redisFaults }) => redisFaults),
    rotations: sum(({ rotations }) => rotations),
    logins: {
      ok: sum(({ logins }) => logins.ok),
      fallback: sum(({ logins }) => logins.fallback),
      refused: sum(({ logins }) => logins.refused),
    },
    lost_keys: new Set(lost).size,
    violations,
    mutants,
  };
}

export function rowOf({
  seed,
  seconds,
  kills,
  lockLosses,
  redisFaults,
  rotations,
  logins,
  violations,
}: ScenarioResult): string {
  const { ok, fallback, refused } = logins;
  const cells = [
    seed,
    seconds.toFixed(0),
    kills,
    lockLosses,
    redisFaults,
    rotations,
    ok,
    fallback,
    refused,
    violations.length,
  ];
  return cells.map((cell, index) => String(cell).padStart(WIDTHS[index] ?? 0)).join('');
}

const HEADS = ['seed', 'sec', 'kills', 'locks', 'redis', 'rotations', 'logins', 'fallback', 'refused', 'violations'];
const WIDTHS = HEADS.map((head) => head.length + 2);

export const HEADER = HEADS.map((head) => `  ${head}`).join('');

/** At most a few of each rule: one cause often shows in many places. */
export function describeViolations({ seed, violations, dir }: ScenarioResult): string[] {
  const told = new Map<string, number>();
  const lines = violations.flatMap(({ rule, ref, message }) => {
    const before = told.get(rule) ?? 0;
    told.set(rule, before + 1);
    return before < 3 ? [`  ${rule}${ref === null ? '' : ` ${ref}`}: ${message}`] : [];
  });
  const again = `  again: npm run test:faults -- --seed ${seed}; the history is in ${dir}`;
  return violations.length === 0 ? [] : [...lines, again];
}
