import { throughput } from './throughput.ts';

const CONCURRENCY = 50;

/** Of `effects`: more do not make it faster. */
const LANES = 200;

export const p1Always = throughput({
  id: 'P1-always',
  what: 'the fleet of P1 with AOF always ÷ the same effects and nothing else',
  goal: 0.7,
  setting: { appendfsync: 'always', strategy: 'overlap', clients: 2_000, concurrency: CONCURRENCY },
  against: { loop: 'effects', lanes: LANES },
  cpu: { id: 'P1-cpu', what: 'CPU of the worker for a rotation of P1-always ÷ CPU of the same effects', goal: 1.4 },
});
