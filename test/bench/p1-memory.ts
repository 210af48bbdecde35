import { throughput } from './throughput.ts';

const CONCURRENCY = 50;

/** P1-always without the disk under the key folder: what the design costs by itself. */
export const p1Memory = throughput({
  id: 'P1-memory',
  what: 'the same as P1-always, with the key folder on a file system in memory',
  goal: 0.4,
  setting: {
    appendfsync: 'always',
    strategy: 'overlap',
    clients: 2_000,
    concurrency: CONCURRENCY,
    sinkInMemory: true,
  },
  against: { loop: 'patches', lanes: CONCURRENCY },
});
