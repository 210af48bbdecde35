/** The table of docs/sizing.md: the arithmetic of `rekeyd plan` over numbers that the benchmark measured. */

import { formatDuration } from '../../src/core/duration.ts';
import { capacityOf, type RateLimit } from '../../src/forecast/capacity.ts';
import type { TimedPolicy } from '../../src/forecast/warnings.ts';
import { MEASURED } from './measured.ts';

const SECOND = 1_000;
const DAY = 86_400 * SECOND;
const YEAR = 365 * DAY;

/** Workers beyond what the rate limit keeps busy: one may die. */
const SPARE = 1;

interface Fleet {
  readonly clients: number;
  readonly days: number;
  readonly perSecond: number;
}

const FLEETS: readonly Fleet[] = [
  { clients: 100, days: 30, perSecond: 10 },
  { clients: 2_000, days: 30, perSecond: 10 },
  { clients: 2_000, days: 1, perSecond: 10 },
  { clients: 10_000, days: 30, perSecond: 10 },
  { clients: 10_000, days: 7, perSecond: 10 },
  { clients: 100_000, days: 30, perSecond: 10 },
  { clients: 100_000, days: 30, perSecond: 100 },
  { clients: 100_000, days: 7, perSecond: 100 },
  { clients: 100_000, days: 1, perSecond: 100 },
  { clients: 100_000, days: 30, perSecond: 1_000 },
];

const HEAD = [
  'Clients',
  '`rotate_every`',
  '`rate_limit`',
  'of which used',
  'all rotated in',
  'all compromised keys gone in',
  'workers',
  'Redis: clients',
  'Redis: audit log, a year',
];

function sizingTable(): string {
  const rows = [HEAD, ...FLEETS.map(rowOf)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const [head = '', ...others] = rows.map((row) => line(row.map((cell, at) => cell.padStart(widths[at] ?? 0))));
  return [head, line(widths.map((width) => `${'-'.repeat(width - 1)}:`)), ...others].join('\n');
}

/** Overlaps are the dearer kind; their waits are not part of the arithmetic. */
const OVERLAPS = {
  adopt: 'import',
  strategy: 'overlap',
  format: 'jwks',
  prove: 'required',
  windows: [],
  freeze: [],
  timezone: 'UTC',
  splayMs: 0,
  propagationMs: 0,
  overlapMs: 0,
} as const satisfies Partial<TimedPolicy>;

function rowOf({ clients, days, perSecond }: Fleet): readonly string[] {
  const limit: RateLimit = { max: perSecond, perMs: SECOND };
  const period = days * DAY;
  const policy = { ...OVERLAPS, rotateEveryMs: period, mustByMs: 2 * period };
  const { load, rotationMs, compromiseMs } = capacityOf([{ policy, clients }], limit);
  return [
    clients.toLocaleString('en-US'),
    `${days} d`,
    `${perSecond.toLocaleString('en-US')}/s`,
    `${(load * 100).toPrecision(2)} %`,
    formatDuration(rotationMs),
    formatDuration(compromiseMs),
    `${Math.ceil(perSecond / MEASURED.rotationsPerSecond) + SPARE}`,
    bytes(clients * MEASURED.bytesPerClient),
    bytes((clients * YEAR * MEASURED.auditBytesPerRotation) / period),
  ];
}

/** Two digits, and never less than a megabyte. */
function bytes(count: number): string {
  const mega = Math.max(1, count / 1e6);
  return mega < 1_000 ? `${Number(mega.toPrecision(2))} MB` : `${Number((mega / 1_000).toPrecision(2))} GB`;
}

const BEGIN = '<!-- made by test/sizing/main.ts -->';
const END = '<!-- until here -->';

/** `document` with the table as it is now. @throws when it has no place for one */
export function withTable(document: string): string {
  const [before, rest] = document.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`the document has no ${BEGIN} … ${END}`);
  return `${before}${BEGIN}\n\n${sizingTable()}\n\n${END}${after}`;
}
