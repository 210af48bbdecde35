import { openQueues } from '../../jobs/queues.ts';
import { resumePolicy } from '../../jobs/wave.ts';
import { loadConfig } from '../config/load.ts';
import { actor, type Globals, withResourcesOf } from './open.ts';
import { print, printJson } from './output.ts';
import { knownPolicy } from './select.ts';

export interface ResumeOptions {
  readonly policy: string;
  readonly reason?: string;
  readonly json?: boolean;
}

/** Goes on with the wave of a policy that stopped because rotations failed. */
export async function resume(globals: Globals, { policy, reason, json }: ResumeOptions): Promise<number> {
  const config = await loadConfig(globals.file, globals.env);
  knownPolicy(policy, config);
  const cause = { actor: actor(), reason: reason ?? 'resumed on the command line' };
  return withResourcesOf(config, async ({ store, redis }) => {
    const queues = openQueues(
      redis,
      config.deployments.map(({ id }) => id),
      () => {},
    ); // the store's own connection reports what is wrong with Redis
    try {
      const resumed = await resumePolicy(policy, cause, { store, queues });
      if (json) printJson({ policy, resumed });
      else
        print(resumed ? `Policy ${policy} goes on: ${REST}` : `Policy ${policy} was not stopped: nothing to resume.`);
      return 0;
    } finally {
      await queues.close();
    }
  });
}

const REST = 'a worker begins the rest of its due clients. `rekeyd status` shows how far it is.';
