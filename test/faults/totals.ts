/** What all runs came to: for people a table, for programs one document. */
import type { Violation } from './checks/checker.ts';
import type { ScenarioResult } from './stage/scenario.ts';

export interface Totals {
  readonly seeds: number;
  /** Seeds of each kind. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly kills: number;
  /** Of them: at a moment that no point stands for. */
  readonly random_kills: number;
  /** Of them: at a point, for each kind of point that a step has. */
  readonly deeds: number;
  readonly lock_losses: number;
  readonly redis_faults: number;
  readonly api_faults: number;
  readonly edits: number;
  readonly rotations: number;
  readonly logins: { readonly ok: number; readonly fallback: number; readonly refused: number };
  readonly lost_keys: number;
  readonly violations: readonly (Violation & { readonly kind: string; readonly seed: number })[];
  readonly mutants: { readonly total: number; readonly caught: number };
}

/** A seed that the harness itself did not get through. */
export interface Broken {
  readonly kind: string;
  readonly seed: number;
  readonly message: string;
}

/** @param broken they count as violations: nobody knows what they would have found */
export function totalsOf(
  results: readonly ScenarioResult[],
  broken: readonly Broken[],
  mutants: Totals['mutants'],
): Totals {
  const sum = (of: (result: ScenarioResult) => number) => results.reduce((total, result) => total + of(result), 0);
  const kinds: Record<string, number> = {};
  for (const { kind } of results) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const violations = results.flatMap(({ kind, seed, violations }) =>
    violations.map((violation) => ({ kind, seed, ...violation })),
  );
  const lost = violations.filter(({ rule }) => rule === 'lost_key');
  return {
    seeds: results.length,
    kinds,
    kills: sum(({ kills }) => kills),
    random_kills: sum(({ randomKills }) => randomKills),
    deeds: sum(({ deeds }) => deeds),
    lock_losses: sum(({ lockLosses }) => lockLosses),
    redis_faults: sum(({ redisFaults }) => redisFaults),
    api_faults: sum(({ apiFaults }) => apiFaults),
    edits: sum(({ edits }) => edits),
    rotations: sum(({ rotations }) => rotations),
    logins: {
      ok: sum(({ logins }) => logins.ok),
      fallback: sum(({ logins }) => logins.fallback),
      refused: sum(({ logins }) => logins.refused),
    },
    lost_keys: new Set(lost.map(({ kind, seed, ref }) => `${kind} ${seed} ${ref}`)).size,
    violations: [
      ...violations,
      ...broken.map(({ kind, seed, message }) => ({ kind, seed, rule: 'no_judgement', ref: null, message })),
    ],
    mutants,
  };
}

const COLUMNS: readonly (readonly [head: string, of: (result: ScenarioResult) => string | number])[] = [
  ['kind      ', ({ kind }) => kind],
  ['seed', ({ seed }) => seed],
  ['sec', ({ seconds }) => seconds.toFixed(0)],
  ['kills', ({ kills }) => kills],
  ['deeds', ({ deeds }) => deeds],
  ['locks', ({ lockLosses }) => lockLosses],
  ['redis', ({ redisFaults }) => redisFaults],
  ['api', ({ apiFaults }) => apiFaults],
  ['edits', ({ edits }) => edits],
  ['rotations', ({ rotations }) => rotations],
  ['logins', ({ logins }) => logins.ok],
  ['fallback', ({ logins }) => logins.fallback],
  ['refused', ({ logins }) => logins.refused],
  ['violations', ({ violations }) => violations.length],
];

const widthOf = (head: string) => Math.max(head.length, 5);

export const HEADER = COLUMNS.map(([head]) => head.padStart(widthOf(head))).join(' ');

export function rowOf(result: ScenarioResult): string {
  const cells = COLUMNS.map(([head, of]) => String(of(result)).padStart(widthOf(head)));
  return [...cells, ...result.remarks].join(' ');
}

/** At most a few of each rule: one cause often shows in many places. */
export function describeViolations({ kind, seed, violations, dir }: ScenarioResult): string[] {
  const told = new Map<string, number>();
  const lines = violations.flatMap(({ rule, ref, message }) => {
    const before = told.get(rule) ?? 0;
    told.set(rule, before + 1);
    return before < 3 ? [`  ${rule}${ref === null ? '' : ` ${ref}`}: ${message}`] : [];
  });
  const again = `  again: npm run test:faults -- --scenario ${kind} --seed ${seed}; the history is in ${dir}`;
  return violations.length === 0 ? [] : [...lines, again];
}
