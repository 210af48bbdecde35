/**
 * `npm run test:streams [-- --json] [--short] [--only NAME]`: applications with openid-client sign in at an oidc-provider, 50 times a second, while rekeyd
 * rotates their keys. Ends with 1 when a sign-in was refused that should not be, or a rotation did not finish.
 */
import { parseArgs } from 'node:util';
import { LANES } from './kinds.ts';
import { documentOf, HEADER, rowOf, summaryOf } from './report.ts';
import { type KindResult, runKind } from './run.ts';
import { openWorld } from './world.ts';

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, short: { type: 'boolean' }, only: { type: 'string', default: '' } },
});
const say = (text: string) => void (values.json ? process.stderr : process.stdout).write(`${text}\n`);

const lanes = LANES.map((lane) => lane.filter(({ name }) => name.includes(values.only)));
const kinds = lanes.flat();
if (kinds.length === 0) {
  say(
    `No stream has ${values.only} in its name. There are: ${LANES.flat()
      .map(({ name }) => name)
      .join(', ')}`,
  );
  process.exit(2);
}

const world = await openWorld(kinds);
say(HEADER);
const results: KindResult[] = [];
async function run(lane: (typeof lanes)[number]): Promise<void> {
  for (const kind of lane) {
    const result = await runKind(world, kind, values.short ? kind.short : kind.full);
    results.push(result);
    say([rowOf(result), ...result.failures.slice(0, 3)].join('\n'));
  }
}
await Promise.all(lanes.map(run));
await world.close();
say(`\n${summaryOf(results)}`);
if (values.json) process.stdout.write(`${JSON.stringify(documentOf(results))}\n`);
process.exitCode = results.some(({ failures }) => failures.length > 0) ? 1 : 0;
