import { throughput } from './throughput.ts';

const CONCURRENCY = 500;

/** With `everysec` a durable commit waits for the second to end, so only many at once make a pace. */
export const p1 = throughput({
  id: 'P1',
  what: 'ES256 fleet of 2,000, one worker, AOF everysec ÷ bare jose+undici loop of the same PATCHes',
  goal: 0.6,
  setting: { appendfsync: 'everysec', strategy: 'overlap', clients: 2_000, concurrency: CONCURRENCY },
  against: { loop: 'patches', lanes: CONCURRENCY },
});
