/** The figures for a person: goal beside value, and where the time goes. */
import type { Result } from './figure.ts';

export function table(results: readonly Result[]): string {
  const rows = results.map(({ id, what, value, unit, goal, met, rounds }) => [
    id,
    `${value} ${unit === 'ratio' ? '×' : unit}`,
    `${unit === 'ratio' ? '≥' : '≤'} ${goal}`,
    met ? 'met' : 'NOT MET',
    `[${rounds.join(' ')}]`,
    what,
  ]);
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
