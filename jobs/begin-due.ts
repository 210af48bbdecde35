/** Begins the rotations of due clients, a page at a time: a fleet may have 100,000, and no more than a page of records is in memory. */
import { policyFor } from '../src/config/lookup.ts';
import { offeredUntil } from '../src/core/adoption.ts';
import { mayBegin } from '../src/core/calendar.ts';
import { type ClientRef, splitReference } from '../src/core/client.ts';
import { whyDue } from '../src/core/due.ts';
import { byScope, pauseOf } from '../src/core/pause.ts';
import type { ClientPolicy } from '../src/core/policy.ts';
import type { ClientRecord } from '../src/core/record.ts';
import { standbyUntil } from '../src/core/standby.ts';
import { changesForm, type WaveRef } from '../src/core/wave.ts';
import { hasCode, messageOf } from '../src/errors.ts';
import { inParallel, PAGE, pagesOf } from '../src/parallel.ts';
import { appOf } from '../src/rotation/facts.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import type { Loaded } from '../src/store/records.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { isPaused } from './pauses.ts';
import { askForProbe, awaitsProbe } from './probing.ts';
import { noteUnread } from './selection.ts';
import { rotationId, startRotation } from './start.ts';

/** One run over the due clients of a policy. */
export interface Run {
  readonly policy: string;
  /** Names the run: the same job tried again begins the same rotations. */
  readonly slot: string;
  readonly context: JobContext;
  /**
   * The clients of deployments that answer. Begun in the middle of an outage, a rotation uses its attempts up and fails. Each deployment is asked once in a
   * run; why one does not answer is put into `failures`.
   */
  answering(refs: readonly ClientRef[]): Promise<readonly ClientRef[]>;
  readonly failures: unknown[];
}

export function openRun(policy: string, slot: string, context: JobContext): Run {
  const asked = new Map<string, Promise<boolean>>();
  const failures: unknown[] = [];

  async function ask(deployment: string): Promise<boolean> {
    try {
      await context.resources.deployments.get(deployment)?.reachable();
      return true;
    } catch (error) {
      await noteUnread(deployment, error, context);
      failures.push(error);
      return false;
    }
  }

  return {
    policy,
    slot,
    context,
    failures,
    async answering(refs) {
      const deploymentOf = (ref: ClientRef) => splitReference(ref).deployment;
      const answers = new Map<string, boolean>();
      const named = new Set(refs.map(deploymentOf));
      await Promise.all(
        [...named].map(async (deployment) => {
          const answer = asked.get(deployment) ?? ask(deployment);
          asked.set(deployment, answer);
          answers.set(deployment, await answer);
        }),
      );
      return refs.filter((ref) => answers.get(deploymentOf(ref)));
    },
  };
}

/** Those of these clients that are due and that no pause holds back, in the same order, and whether the rotation of any of them changes alg or format. */
export async function examined(
  refs: readonly ClientRef[],
  run: Run,
): Promise<{ readonly due: readonly ClientRef[]; readonly changesForm: boolean }> {
  const { resources } = run.context;
  const due: ClientRef[] = [];
  const unprobed = new Set<string>();
  let [changes, heldBack] = [false, 0];
  for (const page of pagesOf(refs)) {
    const pauses = await resources.store.pauses();
    await resources.facts.refresh(page.map(appOf));
    for (const [ref, { record, now }] of await resources.store.loadMany(await run.answering(page))) {
      const policy = policyOf(ref, run);
      if (policy === null) continue;
      if (whyDue(record, policy, now) === null) {
        await wakeWaiting(ref, record, policy, now, run);
        continue;
      }
      // Chosen for a cohort, it would hold up the others.
      if (pauseOf(byScope(pauses, now), ref, run.policy) !== null) {
        heldBack += 1;
        await wakeWaiting(ref, record, policy, now, run);
        continue;
      }
      if (awaitsProbe(policy)) {
        unprobed.add(appOf(ref));
        continue;
      }
      due.push(ref);
      changes ||= changesForm(record, policy);
    }
  }
  tellHeldBack(heldBack, run);
  await askForProbes(unprobed, run);
  return { due, changesForm: changes };
}

export interface BegunPage {
  readonly started: number;
  /** Clients of deployments that answer, and that have no rotation of this wave: they are not due, or held back. */
  readonly idle: readonly ClientRef[];
}

/**
 * Begins a rotation for each client of a page that is due now, as far as windows, freezes and pauses allow.
 * @param meant which clients are still to be begun. It is asked after the records were read: a client that failed meanwhile is due by its record, and is not
 * to be begun again
 */
export async function beginPage(
  refs: readonly ClientRef[],
  wave: WaveRef | null,
  run: Run,
  meant?: () => Promise<readonly ClientRef[]>,
): Promise<BegunPage> {
  const { store, facts } = run.context.resources;
  const answering = await run.answering(refs);
  await facts.refresh(answering.map(appOf));
  const loaded = new Map(await store.loadMany(answering));
  const idle = answering.filter((ref) => !loaded.has(ref));
  if (meant !== undefined) {
    const still = new Set(await meant());
    for (const ref of loaded.keys()) if (!still.has(ref)) loaded.delete(ref);
  }
  const unprobed = new Set<string>();
  let [started, heldBack] = [0, 0];
  await inParallel(loaded, FLEET_LANES, async ([ref, held]) => {
    const outcome = await beginOne(ref, held, wave, run);
    if (outcome === 'unprobed') unprobed.add(appOf(ref));
    if (outcome === 'begun') started += 1;
    if (outcome === 'held back') heldBack += 1;
    const isLeft = outcome !== 'begun' && outcome !== 'joined';
    if (isLeft && (wave === null || held.record.rotation?.wave?.id !== wave.id)) idle.push(ref);
  });
  tellHeldBack(heldBack, run);
  await askForProbes(unprobed, run);
  return { started, idle };
}

function tellHeldBack(clients: number, { policy, context }: Run): void {
  if (clients > 0) context.log.debug({ policy, clients }, HELD_BACK);
}

/** Each first probe is followed by a sweep. */
async function askForProbes(apps: Iterable<string>, { context }: Run): Promise<void> {
  for (const app of apps) await askForProbe(app, context);
}

/** Told of due clients, and of policies, that a calendar or a person holds back. */
export const HELD_BACK =
  'clients are due, and wait for the end of a pause or a freeze, or for a window (`rekeyd status`)';

/** A client that cannot be rotated is told in the log: the others of its policy do not wait for it. */
const REFUSALS = ['not_enrolled', 'not_eligible', 'under_way', 'algorithm_unsupported'] as const;

/** `joined`: another run was faster, or this one has begun with the client before. */
async function beginOne(
  ref: ClientRef,
  held: Loaded,
  wave: WaveRef | null,
  run: Run,
): Promise<'begun' | 'joined' | 'held back' | 'unprobed' | 'idle'> {
  const { resources, queues, log } = run.context;
  const policy = policyOf(ref, run);
  if (policy === null) return 'idle';
  const why = whyDue(held.record, policy, held.now);
  if (why === null) {
    await wakeWaiting(ref, held.record, policy, held.now, run);
    return 'idle';
  }
  // Asked just before the start: from the moment that somebody pauses, nothing more begins.
  if (!mayBegin(policy, held.now) || (await isPaused(resources.store, ref, run.policy, held.now))) {
    await wakeWaiting(ref, held.record, policy, held.now, run);
    return 'held back';
  }
  if (awaitsProbe(policy)) return 'unprobed';
  const asked = {
    id: rotationId(resources.store, `sweep ${run.policy} ${run.slot}`, ref),
    actor: `schedule:${run.policy}`,
    reason: why.message,
    request: null,
    compromised: null,
    takeOver: policy.adopt === 'take_over',
    ...(wave !== null && { wave }),
  };
  try {
    const { isNew } = await startRotation(resources.store, ref, null, policy, asked, held);
    if (!isNew) return 'joined';
  } catch (error) {
    if (!REFUSALS.some((code) => hasCode(error, code))) throw error;
    log.warn({ client: ref, error: messageOf(error) }, 'a due client cannot be rotated');
    return 'idle';
  }
  await queues.wake(ref, false);
  return 'begun';
}

/** Windows, freezes and pauses hold rotations back. A standby key is replaced meanwhile, and a key that is offered is withdrawn. */
export async function wakeHeld(refs: readonly ClientRef[], run: Run): Promise<void> {
  const { store } = run.context.resources;
  for (const page of pagesOf(refs)) {
    for (const [ref, { record, now }] of await store.loadMany(page)) {
      const policy = policyOf(ref, run);
      if (policy !== null) await wakeWaiting(ref, record, policy, now, run);
    }
  }
}

/** The index knows when a key that is offered is withdrawn, too. The client's own job does that; it may have been lost, or the policy was changed. */
async function wakeWaiting(
  ref: ClientRef,
  record: ClientRecord,
  policy: ClientPolicy,
  now: number,
  { context: { queues } }: Run,
): Promise<void> {
  const times = [offeredUntil(record, policy), standbyUntil(record, policy)];
  if (times.some((until) => until !== null && now >= until)) await queues.wake(ref, false);
}

/** All clients of a policy that are due by the index, the longest due first: references only. Read before anything is begun, which changes the index. */
export async function dueRefs(policy: string, { resources }: JobContext): Promise<readonly ClientRef[]> {
  const now = await resources.store.now();
  const found: ClientRef[] = [];
  for (let offset = 0; ; offset += PAGE) {
    const page = await resources.store.due(now, PAGE, offset);
    for (const ref of page) if (policyFor(resources.config, ref)?.name === policy) found.push(ref);
    if (page.length < PAGE) return found;
  }
}

/** Null when the client is under another policy, or under none. */
function policyOf(ref: ClientRef, { policy, context: { resources } }: Run) {
  return policyFor(resources.config, ref)?.name === policy ? clientPolicy(resources, ref) : null;
}
