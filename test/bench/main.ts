/** `npm run bench [-- --json] [--only P1,P4] [--rounds N] [--quick]`: rekeyd beside the bare limit, figure by figure. */
import { parseArgs } from 'node:util';
import { build } from './built.ts';
import type { Result } from './figure.ts';
import { figures } from './figures.ts';
import { describeMachine } from './machine.ts';
import { table } from './table.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const { json, quick } = values;
const rounds = Number(values.rounds ?? (quick ? 1 : 3));
const known = figures.flatMap(({ ids }) => ids);
const wanted = values.only?.split(',') ?? known;
const unknown = wanted.filter((id) => !known.includes(id));
if (unknown.length > 0 || !(rounds >= 1)) {
  process.stderr.write(`Write --only with some of ${known.join(',')}, and --rounds 1 or more.\n`);
  process.exit(2);
}

// An exit that Redis and the other processes hear of.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

build();
const machine = describeMachine();
const results: Result[] = [];
for (const figure of figures.filter(({ ids }) => ids.some((id) => wanted.includes(id)))) {
  process.stderr.write(`${figure.ids.join(', ')} …\n`);
  try {
    for (const result of await figure.measure({ rounds, quick })) {
      process.stderr.write(`  ${result.id} ${result.value} (${result.rounds.join(' ')})\n`);
      results.push(result);
    }
  } catch (error) {
    // The others still say what they say.
    process.stderr.write(`  could not be measured: ${String(error)}\n`);
    process.exitCode = 1;
  }
}
if (json) process.stdout.write(`${JSON.stringify({ machine, figures: results })}\n`);
else process.stdout.write(`${JSON.stringify(machine)}\n\n${table(results)}\n`);
