/** Entry point of a child process: `child.ts CIRCUMSTANCE SEED` plays one scenario with the sources beside it, and prints what was broken. */
import { rmSync } from 'node:fs';
import { CIRCUMSTANCES } from './circumstances.ts';

/** A mutant that gets stuck does so at once; one that does not may be on a busy machine. */
const PATIENCE_MS = 90_000;

const [name = '', seed = '1'] = process.argv.slice(2);
const kind = CIRCUMSTANCES.get(name);
if (kind === undefined) throw new Error(`no circumstance ${name}: ${[...CIRCUMSTANCES.keys()].join(', ')}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
const { violations, seconds, dir } = await kind.run({ seed: Number(seed), patienceMs: PATIENCE_MS });
if (dir !== null) rmSync(dir, { recursive: true, force: true }); // nobody looks for what a mutant did
process.stdout.write(JSON.stringify({ violations, seconds }));
