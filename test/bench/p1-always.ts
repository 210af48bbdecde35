import { throughput } from './throughput.ts';

const CONCURRENCY = 50;

/** Of `effects`: more do not make it faster. */
const LANES = 200;

export const p1Always = throughput({
  id: 'P1-always',
  what: 'the same with AOF always',
  goal: 0.7,
  setting: { appendfsync: 'always', strategy: 'overlap', clients: 2_000, concurrency: CONCURRENCY },
  against: { loop: 'effects', lanes: LANES },
  cpu: { id: 'P1-cpu', what: 'of P1-always: CPU of the worker for a rotation ÷ CPU of the same effects', goal: 1.4 },
});
