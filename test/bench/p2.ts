import { throughput } from './throughput.ts';

const CONCURRENCY = 10;

/** Making RSA keys is what such a fleet costs; the rest must fit beside it. None of them is made before the round. */
export const p2 = throughput({
  id: 'P2',
  what: 'RS256-2048 fleet ÷ loop that only generates the keys',
  goal: 0.75,
  setting: { appendfsync: 'always', strategy: 'overlap', clients: 200, concurrency: CONCURRENCY, alg: 'RS256' },
  against: { loop: 'keys', lanes: CONCURRENCY },
  withoutStock: true,
});
