import { throughput } from './throughput.ts';

const CONCURRENCY = 50;

/** One PATCH per rotation instead of two: what everything else costs counts double. */
export const p1Cutover = throughput({
  id: 'P1-cutover',
  what: 'the same with cutovers, AOF always ÷ bare jose+undici loop of the same PATCHes',
  goal: 0.4,
  setting: { appendfsync: 'always', strategy: 'cutover', clients: 2_000, concurrency: CONCURRENCY },
  against: { loop: 'patches', lanes: CONCURRENCY },
});
