/**
 * A sweep starts a rotation for each client of a policy that is due, as the store's index knows. It reads no list: what servers show is compared with
 * the records by `reconcile`, and looked at again by each rotation before it writes. Asking twice does no harm.
 */
import { policiesOf } from '../src/config/lookup.ts';
import { dueRefs, openRun } from './begin-due.ts';
import type { JobContext } from './context.ts';
import { noteDueTimes } from './due-times.ts';
import { askForProbe, awaitsProbe } from './probing.ts';
import { slotJobId } from './queues.ts';
import type { Sweep } from './schemas.ts';
import { beginDue } from './wave.ts';

export interface SweepResult {
  readonly started: number;
}

/** @throws the first failure, after every deployment that answers was swept: the job is tried again for the rest */
export async function sweep({ policy, slot, reindex }: Sweep, context: JobContext): Promise<SweepResult> {
  if (reindex) await noteDueTimes(policy, context.resources);
  const run = openRun(policy, slot, context);
  const started = await beginDue(run, { due: () => dueRefs(policy, context), areAll: true, isTick: true });
  await probeForOffers(policy, context);
  await context.queues.addUpkeep('discover', { v: 1, policy, slot }, slotJobId('discover', policy, slot));
  if (run.failures.length > 0) throw run.failures[0];
  return { started };
}

/** Under `strategy: auto` nothing is offered before a probe has seen several keys accepted, so no client comes due that would ask for it. */
async function probeForOffers(name: string, context: JobContext): Promise<void> {
  const { config, facts } = context.resources;
  const policy = Object.hasOwn(config.policies, name) ? config.policies[name] : undefined;
  if (policy?.adopt !== 'overlap' || policy.strategy !== 'auto' || policy.probe !== 'auto') return;
  for (const { id, apps } of config.deployments) {
    for (const { slug } of apps) {
      const app = `${id}/${slug}`;
      if (!policiesOf(config, id, slug).has(name)) continue;
      await facts.refresh([app]);
      if (awaitsProbe({ probe: policy.probe, facts: facts.ofApp(app) })) await askForProbe(app, context);
    }
  }
}
