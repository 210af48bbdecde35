/** A bare loop: one task for each client, some at once, timed. */
import { inParallel } from '../../src/parallel.ts';
import { p99 } from './figure.ts';

export interface Loop {
  readonly clients: readonly string[];
  /** How many at once. */
  readonly lanes: number;
  readonly alg: string;
  readonly strategy: 'overlap' | 'cutover';
}

export interface BareResult {
  readonly seconds: number;
  /** Of one client each. */
  readonly p99Ms: number;
}

export async function timed(
  clients: readonly string[],
  lanes: number,
  one: (client: string) => Promise<void>,
): Promise<BareResult> {
  const took: number[] = [];
  const startedAt = performance.now();
  await inParallel(clients, lanes, async (client) => {
    const at = performance.now();
    await one(client);
    took.push(performance.now() - at);
  });
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, p99Ms: p99(took) };
}
