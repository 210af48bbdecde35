/** What the demo found, as a table that a person understands at a glance. */
import type { RegisteredClient } from './fleet.ts';
import type { LoginCounts } from './logins.ts';

export interface ClientReport {
  readonly client: string;
  readonly server: 'first_pem' | 'jwks_kid';
  readonly strategy: 'overlap' | 'cutover';
  readonly format: string;
  readonly alg_before: string;
  readonly alg_after: string;
  readonly outcome: string;
  readonly patches: number;
  readonly logins: LoginCounts;
}

export interface DemoReport {
  readonly clients: readonly ClientReport[];
  readonly totals: { readonly rotations: number; readonly seconds: number; readonly logins: LoginCounts };
}

const HEAD = [
  'client',
  'server',
  'strategy',
  'format',
  'alg',
  'outcome',
  'PATCHes',
  'logins',
  'after one retry',
  'refused',
  '',
];

export function printReport(report: DemoReport, clients: readonly RegisteredClient[], dir: string): void {
  const rows = report.clients.map((row) => {
    const note = clients.find(({ ref }) => ref === row.client)?.note ?? '';
    const { ok, fallback, refused } = row.logins;
    const [, app, id] = row.client.split('/');
    const alg = row.alg_before === row.alg_after ? row.alg_after : `${row.alg_before} → ${row.alg_after}`;
    const server = row.server === 'first_pem' ? 'first PEM' : 'by kid';
    return [
      `${app}/${id}`,
      server,
      row.strategy,
      row.format,
      alg,
      row.outcome,
      row.patches,
      ok,
      fallback,
      refused,
      note,
    ].map(String);
  });
  const { rotations, seconds, logins } = report.totals;
  const total = logins.ok + logins.fallback + logins.refused;
  process.stdout.write(`
${table([HEAD, ...rows])}

${rotations} of ${report.clients.length} keys rotated in ${seconds.toFixed(1)} s; ${total} logins meanwhile: ${logins.ok} at the first try, ${logins.fallback} after one retry with the other key
(a server that takes one key at a time changes over between two logins), ${logins.refused} refused.
The client whose PATCH the API refuses keeps its old key, and goes on signing in with it.

Where to look next:
  ${dir}/keys/                    the keys as applications find them: current, next, previous
  npm run -s rekeyd -- --config ${dir}/rekeyd.yaml status
  npm run -s rekeyd -- --config ${dir}/rekeyd.yaml audit tail
`);
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>(
    (found, row) => row.map((cell, at) => Math.max(cell.length, found[at] ?? 0)),
    [],
  );
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
