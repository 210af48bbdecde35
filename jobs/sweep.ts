/**
 * A sweep starts a rotation for each client of a policy that is due, as the store's index knows. It reads no list: what servers show is compared with
 * the records by `reconcile`, and looked at again by each rotation before it writes. Asking twice does no harm.
 */
import { policyFor } from '../src/config/model.ts';
import type { ClientRef } from '../src/core/client.ts';
import { inParallel, PAGE } from '../src/parallel.ts';
import { dueTime } from '../src/rotation/commit.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import { dueRefs, openRun } from './begin-due.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { slotJobId } from './queues.ts';
import type { Sweep } from './schemas.ts';
import { beginDue } from './wave.ts';

export interface SweepResult {
  readonly started: number;
}

/** @throws the first failure, after every deployment that answers was swept: the job is tried again for the rest */
export async function sweep({ policy, slot, reindex }: Sweep, context: JobContext): Promise<SweepResult> {
  if (reindex) await noteDueTimes(policy, context);
  const run = openRun(policy, slot, context);
  const started = await beginDue(run, { due: () => dueRefs(policy, context), areAll: true, isTick: true });
  await context.queues.addUpkeep('discover', { v: 1, policy, slot }, slotJobId('discover', policy, slot));
  if (run.failures.length > 0) throw run.failures[0];
  return { started };
}

/** Due times are noted with each commit; a policy changed in the config changes them without one. */
async function noteDueTimes(policyName: string, { resources }: JobContext): Promise<void> {
  const { store, config } = resources;
  for (const app of config.deployments.flatMap(({ id, apps }) => apps.map(({ slug }) => `${id}/${slug}`))) {
    let last: ClientRef | null = null;
    do {
      const page: readonly ClientRef[] = await store.appRefs(app, PAGE, last);
      last = page.at(-1) ?? null;
      const ours = page.filter((ref) => policyFor(config, ref)?.name === policyName);
      await inParallel(await store.loadMany(ours), FLEET_LANES, async ([ref, { record }]) => {
        const policy = clientPolicy(resources, ref);
        await store.setDue(ref, policy === null ? null : dueTime(record, policy));
      });
    } while (last !== null);
  }
}
