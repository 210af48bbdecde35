/**
 * `npm run test:faults [-- --json] [--long] [--scenario KIND] [--seed N | --seeds N] [--keep] [--mutants] [--only NAME]`: rekeyd while everything
 * around it breaks. Ends with 1 when a promise was broken. A seed, or a number of seeds, without a kind is of `random`.
 */
import { inspect, parseArgs } from 'node:util';
import { messageOf } from '../../src/errors.ts';
import { inParallel } from '../../src/parallel.ts';
import { tryMutants } from './mutants/run.ts';
import { api } from './scenarios/api.ts';
import { audit } from './scenarios/audit.ts';
import { away, clock, dst } from './scenarios/clock.ts';
import { compromise } from './scenarios/compromise.ts';
import { diskFull } from './scenarios/disk-full.ts';
import { enrolment } from './scenarios/enrolment.ts';
import { fleet } from './scenarios/fleet.ts';
import { cluster, sentinel, writers } from './scenarios/groups.ts';
import { http } from './scenarios/http.ts';
import { humans } from './scenarios/humans.ts';
import { kills } from './scenarios/kills.ts';
import { leaks } from './scenarios/leaks.ts';
import { emptied, replaced, rolledBack } from './scenarios/lost-store.ts';
import { points } from './scenarios/points.ts';
import { random } from './scenarios/random.ts';
import { readiness } from './scenarios/readiness.ts';
import { redis, redisOutage } from './scenarios/redis.ts';
import { refusals } from './scenarios/refusals.ts';
import { rollback } from './scenarios/rollback.ts';
import { standby } from './scenarios/standby.ts';
import { strangers } from './scenarios/strangers.ts';
import { waves } from './scenarios/waves.ts';
import type { Kind, ScenarioResult } from './stage/scenario.ts';
import { type Broken, describeViolations, HEADER, rowOf, type Totals, totalsOf } from './totals.ts';

interface Row {
  readonly kind: Kind;
  readonly short: readonly number[];
  readonly long: readonly number[];
  /** At the same time as all others: it costs time, and nothing else. */
  readonly isIdle?: true;
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

/** Which seeds of each kind: in the short run, which is a part of CI, and in the long one. */
const MATRIX: readonly Row[] = [
  // The longest first: the others run beside it.
  { kind: points, short: upTo(1), long: upTo(12) },
  { kind: redisOutage, short: [], long: [10], isIdle: true },
  { kind: kills, short: upTo(1), long: upTo(18) },
  { kind: random, short: upTo(1), long: upTo(18) },
  { kind: api, short: upTo(1), long: upTo(6) },
  { kind: refusals, short: upTo(1), long: upTo(8) },
  { kind: strangers, short: upTo(1), long: upTo(6) },
  { kind: redis, short: upTo(1), long: upTo(8) },
  { kind: sentinel, short: upTo(1), long: upTo(5) },
  { kind: writers, short: upTo(1), long: upTo(5) },
  { kind: cluster, short: upTo(1), long: upTo(5) },
  { kind: emptied, short: [2], long: upTo(6) },
  { kind: replaced, short: [1], long: upTo(6) },
  { kind: rolledBack, short: upTo(2), long: upTo(8) },
  { kind: diskFull, short: upTo(1), long: upTo(6) },
  { kind: humans, short: upTo(1), long: upTo(8) },
  { kind: clock, short: upTo(1), long: upTo(6) },
  { kind: dst, short: [], long: upTo(2) },
  { kind: away, short: upTo(1), long: upTo(4) },
  { kind: compromise, short: upTo(1), long: upTo(6) },
  { kind: standby, short: upTo(1), long: upTo(6) },
  { kind: enrolment, short: upTo(1), long: upTo(6) },
  { kind: waves, short: upTo(1), long: upTo(6) },
  { kind: readiness, short: upTo(1), long: upTo(6) },
  { kind: rollback, short: upTo(1), long: upTo(6) },
  { kind: http, short: upTo(1), long: upTo(6) },
  { kind: leaks, short: upTo(1), long: upTo(6) },
  { kind: audit, short: upTo(1), long: upTo(6) },
  { kind: fleet, short: [], long: upTo(2) },
];

/** What the long run has to come to. */
const WANTED = { random_kills: 500, lock_losses: 100 } as const;

/** Most of a run is spent waiting. */
const AT_ONCE = 2;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    long: { type: 'boolean', default: false },
    scenario: { type: 'string' },
    seed: { type: 'string' },
    seeds: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    only: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});
const { json, long, keep, scenario, seed, seeds } = values;
const isWhole = scenario === undefined && seed === undefined && seeds === undefined;

// An exit that Redis and the workers hear of.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const say = (line: string) => void process.stderr.write(`${line}\n`);
const results: ScenarioResult[] = [];
const broken: Broken[] = [];
const runs = chosen();
if (runs.length > 0) say(HEADER);
const lanes = [true, undefined].map((isIdle) => runs.filter(({ row }) => row.isIdle === isIdle));
await Promise.all(lanes.map((lane) => inParallel(lane, AT_ONCE, run)));
const mutants = long || values.mutants ? await tryMutants(say, values.only) : { total: 0, caught: 0 };
const totals = totalsOf(results, broken, mutants);
const missed = long && isWhole ? missing(totals) : [];
for (const line of missed) say(line);
const { violations, ...counts } = totals;
const short = { ...counts, violations: violations.length, broken: broken.map(({ kind, seed }) => `${kind} ${seed}`) };
process.stdout.write(`${JSON.stringify(json ? totals : short)}\n`);
process.exitCode = violations.length + missed.length > 0 || mutants.caught < mutants.total ? 1 : 0;

interface Run {
  readonly row: Row;
  readonly number: number;
}

async function run({ row: { kind }, number }: Run): Promise<void> {
  try {
    const result = await kind.run({ seed: number, keep });
    results.push(result);
    for (const line of [rowOf(result), ...describeViolations(result)]) say(line);
  } catch (error) {
    broken.push({ kind: kind.name, seed: number, message: `the harness broke: ${messageOf(error)}` });
    say(`--scenario ${kind.name} --seed ${number} broke the harness: ${inspect(error)}`);
  }
}

/** In the order in which they are begun. */
function chosen(): readonly Run[] {
  const name = scenario ?? (isWhole ? undefined : random.name);
  const rows = MATRIX.filter(({ kind }) => name === undefined || kind.name === name);
  if (rows.length === 0) refuse(`There is no scenario ${name}: ${MATRIX.map(({ kind }) => kind.name).join(', ')}.`);
  if (isWhole && values.mutants) return [];
  return rows.flatMap((row) => numbersOf(row).map((number) => ({ row, number })));
}

function numbersOf(row: Row): readonly number[] {
  if (seed !== undefined) return [whole(seed)];
  return seeds === undefined ? row[long ? 'long' : 'short'] : upTo(whole(seeds));
}

function whole(text: string): number {
  const number = Number(text);
  if (text === '' || !Number.isSafeInteger(number) || number < 0) refuse('Write whole numbers for --seed and --seeds.');
  return number;
}

function refuse(message: string): never {
  say(message);
  process.exit(2);
}

function missing(totals: Totals): readonly string[] {
  return (['random_kills', 'lock_losses'] as const).flatMap((name) =>
    totals[name] < WANTED[name] ? [`only ${totals[name]} ${name}, and ${WANTED[name]} were wanted`] : [],
  );
}
