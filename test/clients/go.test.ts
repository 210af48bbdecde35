/** The client library for Go: its own tests, which run the table that all languages share, and its example against real rotations. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectNoneRefused } from './example.ts';
import { folderOf, lacking, run } from './run.ts';

const tool = { cwd: folderOf('go'), env: process.env };

let built: string;
/** Why the tests are left out, or null. */
let missing: string | null;

beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), 'rekeyd-go-'));
  missing = await lacking('there is no Go', run('go', ['version'], tool));
  missing ??= await lacking('no modules for Go can be had', run('go', ['mod', 'download'], tool));
}, 180_000);

afterAll(() => rm(built, { recursive: true, force: true }));

/** The detector of data races needs a C compiler, and builds for half a minute when it has never been used. */
const hasRaces =
  process.env.REKEYD_TESTS === 'all' && spawnSync('go', ['env', 'CGO_ENABLED']).stdout?.toString() === '1\n';

test('the tests of the library for Go pass, and nothing in it is suspect', async ({ skip }) => {
  skip(missing !== null, missing ?? '');
  expect(await run('go', ['vet', './...'], tool)).toBe('');
  expect(await run('gofmt', ['-l', '.'], tool)).toBe('');
  const races = hasRaces ? ['-race'] : [];
  expect(await run('go', ['test', '-count=1', ...races, './...'], tool)).toMatch(/^ok\s+\S+\/clients\/go\s/m);
}, 180_000);

test('the example for Go calls on through rotations of both kinds', async ({ skip }) => {
  skip(missing !== null, missing ?? '');
  const command = join(built, 'service');
  await run('go', ['build', '-o', command, './example'], tool);
  await expectNoneRefused({ command, args: [], env: {} });
}, 180_000);
