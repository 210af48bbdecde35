/** The client library for Python: its own tests, which run the table that all languages share, and its example against real rotations. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import rekeyd from '../../package.json' with { type: 'json' };
import { expectNoneRefused } from './example.ts';
import { folderOf, lacking, run } from './run.ts';

const LIBRARY = folderOf('python');
const TESTS = join(LIBRARY, 'tests');

let environment: string;
let python: string;
/** Why the tests are left out, or null. */
let missing: string | null;

// Nothing is written beside the sources, and what is installed comes first.
const env = {
  ...process.env,
  PYTHONPATH: undefined,
  PYTHONDONTWRITEBYTECODE: '1',
  PIP_DISABLE_PIP_VERSION_CHECK: '1',
};

beforeAll(async () => {
  environment = await mkdtemp(join(tmpdir(), 'rekeyd-python-'));
  python = join(environment, 'bin', 'python');
  const tool = { cwd: environment, env };
  missing = await lacking(
    'there is no Python of 3.9 or later that can make an environment',
    run('python3', ['-c', 'import sys; assert sys.version_info >= (3, 9), sys.version'], tool).then(() =>
      run('python3', ['-m', 'venv', environment], tool),
    ),
  );
  const needed = ['PyJWT[crypto]>=2.10,<3', 'httpx>=0.27,<1', 'flit_core>=3.11,<5'];
  missing ??= await lacking(
    'no packages for Python can be had',
    run(python, ['-m', 'pip', 'install', '-q', ...needed], tool),
  );
  if (missing !== null) return;
  // What is tested is what an application installs.
  const offline = ['--no-index', '--no-deps', '--no-build-isolation'];
  await run(python, ['-m', 'pip', 'install', '-q', ...offline, LIBRARY], tool);
}, 180_000);

afterAll(() => rm(environment, { recursive: true, force: true }));

test('the tests of the library for Python pass, and leave nothing behind', async ({ skip }) => {
  skip(missing !== null, missing ?? '');
  const installed = await run(python, ['-c', 'import importlib.metadata as m; print(m.version("rekeyd-signer"))'], {
    cwd: environment,
    env,
  });
  expect(installed.trim()).toBe(rekeyd.version);
  const before = await readdir(LIBRARY, { recursive: true });
  const strict = ['-W', 'error::ResourceWarning', '-W', 'error::DeprecationWarning:rekeyd_signer'];
  const printed = await run(python, [...strict, '-m', 'unittest', 'discover'], { cwd: TESTS, env });
  expect(printed).toMatch(/^Ran 1\d\d tests in [\s\S]*^OK( \(skipped=\d+\))?$/m);
  expect(await readdir(LIBRARY, { recursive: true })).toEqual(before);
}, 180_000);

test('the types of the library for Python hold', async ({ skip }) => {
  skip(missing !== null, missing ?? '');
  skip(process.env.REKEYD_TESTS !== 'all', '.ci/run checks the types of the library for Python');
  await run(python, ['-m', 'pip', 'install', '-q', 'mypy>=1.15'], { cwd: environment, env });
  const checked = ['src', ...(await readdir(TESTS)).map((name) => join('tests', name)), join('examples', 'service.py')];
  const strict = ['--strict', '--cache-dir', join(environment, 'mypy')];
  await run(python, ['-m', 'mypy', ...strict, ...checked], { cwd: LIBRARY, env: { ...env, MYPYPATH: 'src:tests' } });
}, 180_000);

test('the example for Python calls on through rotations of both kinds', async ({ skip }) => {
  skip(missing !== null, missing ?? '');
  await expectNoneRefused({ command: python, args: [join(LIBRARY, 'examples', 'service.py')], env });
}, 180_000);
