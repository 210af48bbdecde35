/**
 * `npm run test:faults [-- --json] [--long] [--scenario KIND] [--seed N | --seeds N] [--keep] [--mutants] [--only NAME]`: rekeyd while everything
 * around it breaks. Ends with 1 when a promise was broken. A seed, or a number of seeds, without a kind is of `random`.
 */
import { parseArgs } from 'node:util';
import { inParallel } from '../../src/parallel.ts';
import { tryMutants } from './mutants.ts';
import type { Kind, ScenarioResult } from './scenario.ts';
import { api } from './scenarios/api.ts';
import { away, clock, dst } from './scenarios/clock.ts';
import { compromise } from './scenarios/compromise.ts';
import { diskFull } from './scenarios/disk-full.ts';
import { fleet } from './scenarios/fleet.ts';
import { cluster, sentinel } from './scenarios/groups.ts';
import { humans } from './scenarios/humans.ts';
import { points } from './scenarios/points.ts';
import { random } from './scenarios/random.ts';
import { redis, redisOutage } from './scenarios/redis.ts';
import { describeViolations, HEADER, rowOf, type Totals, totalsOf } from './totals.ts';

/** How many seeds of each kind: in the short run, which is a part of CI, and in the long one. */
const MATRIX: readonly { readonly kind: Kind; readonly short: number; readonly long: number }[] = [
  { kind: points, short: 1, long: 20 },
  { kind: random, short: 2, long: 30 },
  { kind: api, short: 1, long: 6 },
  { kind: diskFull, short: 1, long: 6 },
  { kind: redis, short: 1, long: 8 },
  { kind: humans, short: 1, long: 8 },
  { kind: sentinel, short: 1, long: 5 },
  { kind: cluster, short: 1, long: 5 },
  { kind: clock, short: 1, long: 6 },
  { kind: dst, short: 0, long: 2 },
  { kind: away, short: 1, long: 4 },
  { kind: fleet, short: 0, long: 2 },
  { kind: compromise, short: 1, long: 6 },
  { kind: redisOutage, short: 0, long: 1 },
];

/** What the long run has to come to, whatever its seeds made of it. */
const WANTED = { random_kills: 500, lock_losses: 100 } as const;

/** Most of a run is spent waiting. */
const AT_ONCE = 2;

/** What a mutant may take: it is caught, or it is not. */
const HURRIED_MS = 20_000;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    long: { type: 'boolean', default: false },
    scenario: { type: 'string' },
    seed: { type: 'string' },
    seeds: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    only: { type: 'string' },
    'until-caught': { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
const { json, long, keep, scenario, seed, seeds } = values;
const hurried = values['until-caught'];
const isWhole = scenario === undefined && seed === undefined && seeds === undefined;

// An exit that Redis and the workers hear of.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const say = (line: string) => void process.stderr.write(`${line}\n`);
const results: ScenarioResult[] = [];
const runs = chosen();
if (runs.length > 0) say(HEADER);
await inParallel(runs, hurried ? 1 : AT_ONCE, async ([kind, number]) => {
  if (hurried && results.some(({ violations }) => violations.length > 0)) return;
  const result = await kind.run({ seed: number, keep, ...(hurried ? { patienceMs: HURRIED_MS } : {}) });
  results.push(result);
  for (const line of [rowOf(result), ...describeViolations(result)]) say(line);
});
const mutants = long || values.mutants ? await tryMutants(say, values.only) : { total: 0, caught: 0 };
const totals = totalsOf(results, mutants);
const missed = long && isWhole ? missing(totals) : [];
for (const line of missed) say(line);
const { violations, ...counts } = totals;
process.stdout.write(`${JSON.stringify(json ? totals : { ...counts, violations: violations.length })}\n`);
process.exitCode = violations.length + missed.length > 0 || mutants.caught < mutants.total ? 1 : 0;

/** Which kind with which seed, in the order in which they are begun. */
function chosen(): readonly (readonly [Kind, number])[] {
  const name = scenario ?? (isWhole ? undefined : random.name);
  const rows = MATRIX.filter(({ kind }) => name === undefined || kind.name === name);
  if (rows.length === 0) refuse(`There is no scenario ${name}: ${MATRIX.map(({ kind }) => kind.name).join(', ')}.`);
  if (isWhole && values.mutants) return [];
  return rows.flatMap(({ kind, ...many }) => {
    if (seed !== undefined) return [[kind, whole(seed)] as const];
    const count = seeds === undefined ? many[long ? 'long' : 'short'] : whole(seeds);
    return Array.from({ length: count }, (_, index) => [kind, index + 1] as const);
  });
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
