/** A bare loop: one task for each client, some at once, timed. */
import { inParallel } from '../../src/parallel.ts';

export interface Loop {
  readonly clients: readonly string[];
  /** How many at once. */
  readonly lanes: number;
  readonly alg: string;
  readonly strategy: 'overlap' | 'cutover';
}

export interface BareResult {
  readonly seconds: number;
  /** From the generation of a key to its last answer, the slowest but 1 %. */
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
  took.sort((a, b) => a - b);
  return { seconds, p99Ms: took[Math.ceil(took.length * 0.99) - 1] ?? 0 };
}
