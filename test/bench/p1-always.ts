import { throughput } from './throughput.ts';

const CONCURRENCY = 50;

export const p1Always = throughput({
  id: 'P1-always',
  what: 'ES256 fleet of 2,000, one worker, AOF always ÷ bare jose+undici loop of the same PATCHes',
  goal: 0.4,
  setting: { appendfsync: 'always', strategy: 'overlap', clients: 2_000, concurrency: CONCURRENCY },
  against: { loop: 'patches', lanes: CONCURRENCY },
});
