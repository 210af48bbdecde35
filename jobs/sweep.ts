/**
 * A sweep starts a rotation for each client of a policy that is due, as the store's index knows. It reads no list: what servers show is compared with
 * the records by `reconcile`, and looked at again by each rotation before it writes. Asking twice does no harm.
 */
import { policyFor } from '../src/config/model.ts';
import { type ClientRef, splitReference } from '../src/core/client.ts';
import { whyDue } from '../src/core/due.ts';
import { activeKey } from '../src/core/keys.ts';
import { inWindows } from '../src/core/window.ts';
import { inParallel, PAGE } from '../src/parallel.ts';
import { dueTime } from '../src/rotation/commit.ts';
import { appOf } from '../src/rotation/facts.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { askForProbe, awaitsProbe } from './probing.ts';
import { slotJobId } from './queues.ts';
import type { Sweep } from './schemas.ts';
import { noteUnread } from './selection.ts';
import { rotationId, startRotation } from './start.ts';

export interface SweepResult {
  readonly started: number;
}

/** @throws the first failure, after every deployment that answers was swept: the job is tried again for the rest */
export async function sweep({ policy, slot, reindex }: Sweep, context: JobContext): Promise<SweepResult> {
  const { resources, queues } = context;
  if (reindex) await noteDueTimes(policy, context);
  const failures: unknown[] = [];
  let started = 0;
  await Promise.all(
    [...(await dueRefs(policy, context))].map(async ([deployment, due]) => {
      try {
        // Otherwise an outage would start, and fail, the rotation of each client that comes due in its course.
        await resources.deployments.get(deployment)?.reachable();
      } catch (error) {
        await noteUnread(deployment, error, context);
        failures.push(error);
        return;
      }
      for (let at = 0; at < due.length; at += PAGE) {
        started += await startDue(due.slice(at, at + PAGE), policy, slot, context);
      }
    }),
  );
  await queues.addUpkeep('discover', { v: 1, policy, slot }, slotJobId('discover', policy, slot));
  if (failures.length > 0) throw failures[0];
  return { started };
}

/** Starts a rotation for those of these known clients that are due now, as far as their windows allow. */
export async function startDue(
  refs: readonly ClientRef[],
  policyName: string,
  slot: string,
  context: JobContext,
): Promise<number> {
  const { resources, queues } = context;
  const { store } = resources;
  await resources.facts.refresh(refs.map(appOf));
  const loaded = await store.loadMany(refs);
  const unprobed = new Set<string>();
  let started = 0;
  await inParallel(loaded, FLEET_LANES, async ([ref, { record, now }]) => {
    const policy = clientPolicy(resources, ref);
    if (policy === null) return;
    const why = whyDue(record, policy, now);
    if (why === null || !inWindows(policy.windows, policy.timezone, now)) return;
    if (awaitsProbe(policy)) {
      unprobed.add(appOf(ref));
      return;
    }
    await startRotation(store, ref, null, policy, {
      id: rotationId(store, `sweep ${policyName} ${slot}`, ref),
      actor: `schedule:${policyName}`,
      reason: why.message,
      request: null,
      compromised: null,
      takeOver: policy.adopt === 'take_over',
    });
    await queues.wake(ref, false);
    started += 1;
  });
  // Each probe is followed by a sweep.
  for (const app of unprobed) await askForProbe(app, context);
  return started;
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
        // Seen by a version that did not note it for the app.
        const active = activeKey(record);
        if (active?.proof === 'accepted') await resources.facts.noteProven(ref, active.alg);
      });
    } while (last !== null);
  }
}

/** All due clients of the policy by deployment, the longest due first, read before anything is started: starting one changes the index. */
async function dueRefs(
  policyName: string,
  { resources }: JobContext,
): Promise<ReadonlyMap<string, readonly ClientRef[]>> {
  const now = await resources.store.now();
  const found = new Map<string, ClientRef[]>();
  for (let offset = 0; ; offset += PAGE) {
    const page = await resources.store.due(now, PAGE, offset);
    for (const ref of page) {
      if (policyFor(resources.config, ref)?.name !== policyName) continue;
      const { deployment } = splitReference(ref);
      const due = found.get(deployment) ?? [];
      due.push(ref);
      found.set(deployment, due);
    }
    if (page.length < PAGE) return found;
  }
}
