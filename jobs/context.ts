/** What every job works with. */
import type { Kek } from '../src/keys/kek.ts';
import type { Log, Resources } from '../src/rotation/resources.ts';
import type { Queues } from './queues.ts';

export interface JobContext {
  readonly resources: Resources;
  readonly queues: Queues;
  readonly keks: readonly Kek[];
  readonly log: Log;
  /** How long a job's lock holds without renewal, in ms: longer than any PATCH, and how long a killed worker's job stays where it is. */
  readonly lockMs: number;
}

/** How many clients of a fleet are worked on at once where nothing but the store is asked. */
export const FLEET_LANES = 16;
