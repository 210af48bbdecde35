/**
 * The clock of the fleet: node-cron says when, BullMQ remembers. A tick only adds a sweep with an id made of policy and slot, so that any
 * number of replicas add it once; what is due is the store's to say.
 */
import type { Config } from '../src/config/model.ts';
import { messageOf } from '../src/errors.ts';
import type { Log } from '../src/rotation/resources.ts';
import { tickLocally } from './local-time.ts';
import { type Queues, slotJobId } from './queues.ts';

export interface Schedule {
  /** Sweeps for all that came due, and looks for new clients, without waiting for the next tick. */
  catchUp(now: number): Promise<void>;
  stop(): Promise<void>;
}

/** The slot of a tick: cron's finest grain is a second. */
function slotOf(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

export async function startSchedule(config: Config, queues: Queues, log: Log, now: number): Promise<Schedule> {
  async function tick(policy: string, slot: string, reindex = false): Promise<void> {
    try {
      await queues.addUpkeep('sweep', { v: 1, policy, slot, reindex }, slotJobId('sweep', policy, slot));
    } catch (error) {
      // Nothing is lost: the next tick, or the next start, sweeps for whatever is due by then.
      log.error({ policy, slot, error: messageOf(error) }, 'a sweep could not be enqueued');
    }
  }

  const policies = usedPolicies(config);
  // One sweep makes up for all ticks that were missed. Replicas that start in the same second share it.
  async function catchUp(at: number): Promise<void> {
    for (const policy of policies.keys()) await tick(policy, `start-${slotOf(new Date(at))}`, true);
  }
  await catchUp(now);

  const stops = [...policies].map(([name, policy]) => tickLocally(policy, (slot) => tick(name, slotOf(slot))));
  return {
    catchUp,
    async stop() {
      for (const stop of stops) await stop();
    },
  };
}

function usedPolicies(config: Config): ReadonlyMap<string, Config['policies'][string]> {
  const names = config.deployments.flatMap(({ apps }) =>
    apps.flatMap((app) => (app.clients === 'all' ? [app.policy] : app.clients.map(({ policy }) => policy))),
  );
  return new Map(
    [...new Set(names)].flatMap((name) => {
      const policy = config.policies[name];
      return policy === undefined ? [] : [[name, policy] as const];
    }),
  );
}
