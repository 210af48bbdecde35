import { defineConfig } from 'vitest/config';
import { SlowFirst } from './test/setup/slow-first.ts';
import { COMPILED } from './test/support/compiled.ts';

// Each test file has a process of its own. Node reads this when such a process starts, so `test.env` would come too late.
Object.assign(process.env, COMPILED);

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    sequence: { sequencer: SlowFirst },
    reporters: ['default', './test/setup/left-out.ts'],
    // Most tests wait for servers and child processes rather than for a core.
    maxWorkers: 4,
  },
});
