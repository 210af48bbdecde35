/**
 * `npm run test:faults [-- --json] [--seed N] [--seeds N] [--long] [--mutants] [--only NAME] [--keep]`: rekeyd while everything around it
 * breaks. Ends with 1 when a promise was broken.
 */
import { parseArgs } from 'node:util';
import { inParallel } from '../../src/parallel.ts';
import { tryMutants } from './mutants.ts';
import { runScenario, type ScenarioResult } from './scenario.ts';
import { describeViolations, HEADER, rowOf, totalsOf } from './totals.ts';

/** Most of a run is spent waiting. */
const AT_ONCE = 2;
const SHORT = 10;
const LONG = 200;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seed: { type: 'string' },
    seeds: { type: 'string' },
    long: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    only: { type: 'string' },
    'until-caught': { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
const { json, long, keep } = values;
const count = Number(values.seeds ?? (long ? LONG : values.mutants ? 0 : SHORT));
const seeds =
  values.seed === undefined ? Array.from({ length: count }, (_, index) => index + 1) : [Number(values.seed)];
if (!seeds.every(Number.isSafeInteger) || Number.isNaN(count)) {
  process.stderr.write('Write whole numbers for --seed and --seeds.\n');
  process.exit(2);
}

// An exit that Redis and the workers hear of.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const say = (line: string) => void process.stderr.write(`${line}\n`);
const results: ScenarioResult[] = [];
if (seeds.length > 0) say(HEADER);
const hurried = values['until-caught'];
await inParallel(seeds, hurried ? 1 : AT_ONCE, async (seed) => {
  if (hurried && results.some(({ violations }) => violations.length > 0)) return;
  const result = await runScenario(hurried ? { seed, keep: false, quietMs: 20_000 } : { seed, keep });
  results.push(result);
  for (const line of [rowOf(result), ...describeViolations(result)]) say(line);
});
const mutants = long || values.mutants ? await tryMutants(say, values.only) : { total: 0, caught: 0 };
const totals = totalsOf(results, mutants);
const { violations, ...counts } = totals;
process.stdout.write(`${JSON.stringify(json ? totals : { ...counts, violations: violations.length })}\n`);
process.exitCode = violations.length > 0 || mutants.caught < mutants.total ? 1 : 0;
