/** What a job works with, for tests that run jobs by hand: at a moment of their own, and beside no worker that would do the same. */
import type { JobContext } from '../../jobs/context.ts';
import type { Config } from '../../src/config/model.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import type { Fleet } from './fleet.ts';

/** @param config another one than the fleet's */
export function contextOf({ resources, queues }: Fleet, config: Config = resources.config): JobContext {
  return { resources: { ...resources, config }, queues, keks: keksOf(config), log: resources.log, lockMs: 30_000 };
}
