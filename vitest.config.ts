import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    reporters: ['default', './test/setup/left-out.ts'],
    // Most tests wait for servers and child processes rather than for a core.
    maxWorkers: 3,
  },
});
