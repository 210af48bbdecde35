/**
 * A sweep starts a rotation for each client of a policy that is due, as the store's index knows. It reads no list: what servers show is compared with
 * the records by `reconcile`, and looked at again by each rotation before it writes. Asking twice does no harm.
 */
import { policyFor } from '../src/config/model.ts';
import { type ClientRef, splitReference } from '../src/core/client.ts';
import { dueAt, isEligible, whyDue } from '../src/core/due.ts';
import { inWindows } from '../src/core/window.ts';
import { messageOf } from '../src/errors.ts';
import { inParallel } from '../src/parallel.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import { FLEET_LANES, type JobContext, noteApiFailure } from './context.ts';
import { PAGE } from './listing.ts';
import { slotJobId } from './queues.ts';
import type { Sweep } from './schemas.ts';
import { rotationId, startRotation } from './start.ts';

export interface SweepResult {
  readonly started: number;
}

/** @throws the first failure, after every deployment that answers was swept: the job is tried again for the rest */
export async function sweep({ policy, slot, reindex }: Sweep, context: JobContext): Promise<SweepResult> {
  const { parts, queues, log } = context;
  if (reindex) await noteDueTimes(policy, context);
  const failures: unknown[] = [];
  let started = 0;
  for (const [deployment, due] of await dueRefs(policy, context)) {
    try {
      // Otherwise an outage would start, and fail, the rotation of each client that comes due in its course.
      await parts.deployments.get(deployment)?.wacht.listApps();
    } catch (error) {
      await noteApiFailure(context, deployment, error);
      log.warn(
        { deployment, error: messageOf(error) },
        'the API does not answer: its clients are left alone this time',
      );
      failures.push(error);
      continue;
    }
    for (let at = 0; at < due.length; at += PAGE)
      started += await startDue(due.slice(at, at + PAGE), policy, slot, context);
  }
  await queues.addControl('discover', { v: 1, policy, slot }, slotJobId('discover', policy, slot));
  if (failures.length > 0) throw failures[0];
  return { started };
}

/** Starts a rotation for those of these known clients that are due now, as far as their windows allow. */
export async function startDue(
  refs: readonly ClientRef[],
  policyName: string,
  slot: string,
  { parts, queues }: JobContext,
): Promise<number> {
  const loaded = await parts.store.loadMany(refs);
  let started = 0;
  await inParallel(loaded, FLEET_LANES, async ([ref, { record, now }]) => {
    const policy = clientPolicy(parts, ref);
    if (policy === null) return;
    const why = whyDue(record, policy, now);
    if (why === null || !inWindows(policy.windows, policy.timezone, now)) return;
    const asked = { actor: `schedule:${policyName}`, reason: why.message, request: null, compromised: null };
    const id = await startRotation(parts.store, ref, null, policy, {
      ...asked,
      id: rotationId(`sweep ${policyName} ${slot}`, ref),
    });
    await queues.wake(ref, id, false);
    started += 1;
  });
  return started;
}

/** Due times are noted with each commit; a policy changed in the config changes them without one. */
async function noteDueTimes(policyName: string, { parts }: JobContext): Promise<void> {
  const { store } = parts;
  for (const app of parts.config.deployments.flatMap(({ id, apps }) => apps.map(({ slug }) => `${id}/${slug}`))) {
    let last: ClientRef | null = null;
    do {
      const page: readonly ClientRef[] = await store.appRefs(app, PAGE, last);
      last = page.at(-1) ?? null;
      const ours = page.filter((ref) => policyFor(parts.config, ref)?.name === policyName);
      await inParallel(await store.loadMany(ours), FLEET_LANES, async ([ref, { record }]) => {
        const policy = clientPolicy(parts, ref);
        const at = policy !== null && isEligible(record.observed.client) ? dueAt(record, policy) : null;
        await store.setDue(ref, at);
      });
    } while (last !== null);
  }
}

/** All due clients of the policy by deployment, the longest due first, read before anything is started: starting one changes the index. */
async function dueRefs(policyName: string, { parts }: JobContext): Promise<ReadonlyMap<string, readonly ClientRef[]>> {
  const now = await parts.store.now();
  const found = new Map<string, ClientRef[]>();
  for (let offset = 0; ; offset += PAGE) {
    const page = await parts.store.due(now, PAGE, offset);
    for (const ref of page) {
      if (policyFor(parts.config, ref)?.name !== policyName) continue;
      const { deployment } = splitReference(ref);
      const due = found.get(deployment) ?? [];
      due.push(ref);
      found.set(deployment, due);
    }
    if (page.length < PAGE) return found;
  }
}
