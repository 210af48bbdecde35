/** The figures for a person: goal beside value, and where the time goes. */
import type { Result, Unit } from './figure.ts';

/** What a person reads a small number in. */
const SMALL: Partial<Record<Unit, { readonly unit: string; readonly times: number }>> = {
  s: { unit: 'ms', times: 1000 },
  MiB: { unit: 'KiB', times: 1024 },
};

export function table(results: readonly Result[]): string {
  const rows = results.map(({ id, what, value, unit, goal, bound, met, rounds }) => {
    const small = goal < 0.1 ? SMALL[unit] : undefined;
    const shown = (value: number) => (small === undefined ? value : Number((value * small.times).toPrecision(3)));
    return [
      id,
      `${shown(value)} ${small?.unit ?? (unit === 'ratio' ? '×' : unit)}`,
      `${bound === 'least' ? '≥' : '≤'} ${shown(goal)}`,
      met ? 'met' : 'NOT MET',
      `[${rounds.map(shown).join(' ')}]`,
      what,
    ];
  });
  const head = ['', 'value', 'goal', '', 'rounds', ''];
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  const lines = [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return [...lines, ...results.flatMap(details)].join('\n');
}

function details({ id, baseline, perRotation }: Result): string[] {
  const members = (record: Readonly<Record<string, number>>) =>
    Object.entries(record).map(([name, value]) => `${name.replaceAll('_', ' ')} ${value}`);
  const beside = members(baseline);
  const each = members(perRotation ?? {});
  return [
    ...(beside.length === 0 ? [] : ['', `${id}  ${beside.join(' · ')}`]),
    ...(each.length === 0 ? [] : [`    per rotation: ${each.join(' · ')}`]),
  ];
}
