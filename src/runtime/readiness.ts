/** Whether this service can work on rotations now. */
import { messageOf } from '../errors.ts';
import type { Guard } from '../store/guard.ts';
import { sleep } from '../time.ts';
import type { Reloading } from './reload.ts';
import type { StartChecks } from './start-checks.ts';

export interface Readiness {
  /** What is wrong with config or keys; null when nothing is. It is no matter of the store. */
  problem(): string | null;
  /** What stands in the way of rotations, the store included; null when nothing does. Never a secret. */
  obstacle(): Promise<string | null>;
}

/** How long the store may take to answer, in ms. */
const READY_MS = 2_000;

export function readinessOf(
  reloading: Pick<Reloading, 'crew' | 'problem'>,
  checks: Pick<StartChecks, 'problem'>,
): Readiness {
  const problem = () => reloading.problem ?? checks.problem;
  return { problem, obstacle: async () => (await obstacleOf(reloading.crew.resources.guard)) ?? problem() };
}

async function obstacleOf(guard: Pick<Guard, 'tryWrite' | 'problem'>): Promise<string | null> {
  const asked = new AbortController();
  const answered = guard.tryWrite().then(
    () => null,
    (error) => messageOf(error),
  );
  const late = sleep(READY_MS, asked.signal).then(() => guard.problem?.message ?? 'Redis does not answer.');
  try {
    return await Promise.race([answered, late]);
  } finally {
    asked.abort();
  }
}
