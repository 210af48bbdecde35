/** Programs of Python that `.ci/run` installs into an environment of its own, whose program REKEYD_PYTHON names. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const PYTHON = process.env.REKEYD_PYTHON ?? 'python3';

/** Null where the module is there, or has to be there; else why the tests that need it are left out. */
export async function withoutModule(module: string): Promise<string | null> {
  // A run that leaves nothing out fails where it cannot be had.
  if (process.env.REKEYD_TESTS === 'all') return null;
  const isThere = await run(PYTHON, [
    '-c',
    `import importlib.util, sys; sys.exit(importlib.util.find_spec('${module}') is None)`,
  ]).then(
    () => true,
    () => false,
  );
  return isThere
    ? null
    : `there is no Python with the module ${module}: .ci/run installs it, and REKEYD_PYTHON names another one`;
}
