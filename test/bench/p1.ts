import { throughput } from './throughput.ts';

const CONCURRENCY = 500;

/** So many that waiting for the second to end is not what limits the pace of `effects`. */
const LANES = 1_000;

/** With `everysec` a durable commit waits for the second to end, so only many at once make a pace. */
export const p1 = throughput({
  id: 'P1',
  what: 'ES256 fleet of 2,000, one worker, AOF everysec ÷ the same effects and nothing else',
  goal: 0.7,
  setting: { appendfsync: 'everysec', strategy: 'overlap', clients: 2_000, concurrency: CONCURRENCY },
  against: { loop: 'effects', lanes: LANES },
});
