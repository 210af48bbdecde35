import { throughput } from './throughput.ts';

const CONCURRENCY = 10;

export const p4 = throughput({
  id: 'P4',
  what: 'ES256 fleet at 50 ms API latency ÷ the same effects with as many clients in flight',
  goal: 0.9,
  setting: { appendfsync: 'always', strategy: 'overlap', clients: 500, concurrency: CONCURRENCY, latencyMs: 50 },
  against: { loop: 'effects', lanes: CONCURRENCY },
});
