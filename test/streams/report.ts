/** What the streams came to: for people a table, for programs one document. */
import type { KindResult } from './run.ts';

const COLUMNS: readonly (readonly [head: string, of: (result: KindResult) => string | number])[] = [
  ['', ({ kind }) => kind.name],
  ['seconds', ({ seconds }) => seconds.toFixed(0)],
  ['rotations', ({ rotations }) => `${rotations.finished}/${rotations.wanted}`],
  ['sign-ins', ({ logins }) => logins.ok + logins.fallback + logins.refused],
  ['a second', (result) => perSecond(result).toFixed(0)],
  ['after one fallback', ({ logins }) => logins.fallback],
  ['refused', ({ logins }) => logins.refused],
  ['exposed p50', ({ exposedMs }) => inMs(percentile(exposedMs, 0.5))],
  ['p99', ({ exposedMs }) => inMs(percentile(exposedMs, 0.99))],
];

const NAME_WIDTH = 24;

function line(cells: readonly (string | number)[]): string {
  const [name = '', ...others] = cells;
  const padded = others.map((cell, at) => `${cell}`.padStart(Math.max(COLUMNS[at + 1]?.[0].length ?? 0, 7)));
  return [`${name}`.padEnd(NAME_WIDTH), ...padded].join('  ');
}

export const HEADER = line(COLUMNS.map(([head]) => head));

export function rowOf(result: KindResult): string {
  return line(COLUMNS.map(([, of]) => of(result)));
}

/** The one that is said at the end: of each strategy, all its kinds together. */
export function summaryOf(results: readonly KindResult[]): string {
  const lines = (['overlap', 'cutover'] as const).flatMap((strategy) => {
    const those = results.filter(({ kind }) => kind.strategy === strategy);
    if (those.length === 0) return [];
    const sum = (of: (result: KindResult) => number) => those.reduce((total, result) => total + of(result), 0);
    const [ok, fallback, refused] = (['ok', 'fallback', 'refused'] as const).map((what) =>
      sum(({ logins }) => logins[what]),
    );
    const exposedMs = those.flatMap((result) => result.exposedMs);
    const exposed =
      strategy === 'overlap'
        ? ''
        : `; exposed from the PATCH on: p50 ${inMs(percentile(exposedMs, 0.5))}, p99 ${inMs(percentile(exposedMs, 0.99))}`;
    return [
      `${strategy}: ${sum(({ rotations }) => rotations.finished)} rotations; sign-ins: ${ok} at the first try, ${fallback} after one fallback, ${refused} refused${exposed}`,
    ];
  });
  const failures = results.reduce((total, result) => total + result.failures.length, 0);
  return [...lines, `${failures} failures`].join('\n');
}

export function documentOf(results: readonly KindResult[]) {
  return {
    streams: results.map((result) => {
      const { kind, seconds, rotations, logins, exposedMs } = result;
      const { name, strategy, format } = kind;
      const exposed = { p50: percentile(exposedMs, 0.5), p99: percentile(exposedMs, 0.99) };
      return { name, strategy, format, seconds, rotations, logins, per_second: perSecond(result), exposed_ms: exposed };
    }),
    failures: results.flatMap(({ failures }) => failures),
  };
}

function perSecond({ logins, seconds }: KindResult): number {
  return (logins.ok + logins.fallback + logins.refused) / seconds;
}

/** The nearest rank: a value that was measured. Null of none. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}

function inMs(value: number | null): string {
  return value === null ? '' : `${value} ms`;
}
