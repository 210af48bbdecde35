import { throughput } from './throughput.ts';

export const p7 = throughput({
  id: 'P7',
  what: 'ES256 fleet at 50 ms API latency ÷ @wacht/backend in a for loop',
  goal: 10,
  setting: { appendfsync: 'always', strategy: 'cutover', clients: 1_000, concurrency: 200, latencyMs: 50 },
  against: { loop: 'script', lanes: 1 },
  bareClients: 50,
});
