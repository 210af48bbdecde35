/** `node test/setup/report.ts FILE STATUS`: prints `N passed, N failed` from a vitest JSON report; exits 1 unless all is well. */
import { existsSync, readFileSync } from 'node:fs';
import { tally } from './tally.ts';

const [file = '', exitStatus = ''] = process.argv.slice(2);
const { passed, failed } = tally(existsSync(file) ? readFileSync(file, 'utf8') : '', Number(exitStatus));
process.stdout.write(`${passed} passed, ${failed} failed\n`);
if (failed > 0) process.exitCode = 1;
