import { defineConfig } from 'vitest/config';
import { leftForCi } from './test/setup/once.ts';
import { SlowFirst } from './test/setup/slow-first.ts';
import { COMPILED } from './test/support/compiled.ts';

// Node reads this when a process starts, so `test.env` would come too late.
Object.assign(process.env, COMPILED);

/** These replace a module, for every file that the same process runs after them. */
const REPLACING = [
  'test/deliver/versions.test.ts',
  'test/keys/zeroing.test.ts',
  'test/keys/generator.test.ts',
  'test/signer/hanging.test.ts',
];

const ONCE = leftForCi(process.env.REKEYD_TESTS);

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    reporters: ['default', './test/setup/left-out.ts'],
    sequence: { sequencer: SlowFirst },
    // Most tests wait for servers and child processes rather than for a core.
    maxWorkers: 4,
    projects: [
      // A process of its own for each file took a fifth of the whole run.
      {
        extends: true,
        test: { name: 'shared', include: ['test/**/*.test.ts'], exclude: [...REPLACING, ...ONCE], isolate: false },
      },
      { extends: true, test: { name: 'alone', include: REPLACING } },
    ],
  },
});
