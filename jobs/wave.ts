/**
 * The waves of a policy, as {@link ../src/core/wave.ts} decides them and the store keeps them. Every run here starts from what the store says: after its
 * worker died, a wave goes on with the next run of any worker, and two runs at once begin no more of it than one.
 */
import type { Config, PolicyConfig } from '../src/config/model.ts';
import { mayBegin } from '../src/core/calendar.ts';
import type { ClientRef } from '../src/core/client.ts';
import type { Cause } from '../src/core/history.ts';
import {
  type CohortPolicy,
  cohortOf,
  cohortSize,
  howToResume,
  type Wave,
  type WaveRef,
  waveStep,
} from '../src/core/wave.ts';
import { pagesOf } from '../src/parallel.ts';
import type { Store } from '../src/store/store.ts';
import { beginPage, dueRefs, examined, HELD_BACK, openRun, type Run, wakeHeld } from './begin-due.ts';
import type { JobContext } from './context.ts';
import { isPolicyPaused } from './pauses.ts';
import type { Queues } from './queues.ts';
import type { Discover } from './schemas.ts';

/** Which clients a run is about. */
export interface Candidates {
  /** Those that may be due, the longest due first. Asked for only when more is to be begun. */
  due(): Promise<readonly ClientRef[]>;
  /** They are all that may be due under the policy: a wave is over when they are begun. */
  readonly areAll: boolean;
  /** A schedule ticked: the failed rotations of a cohort are tried again. */
  readonly isTick: boolean;
}

/**
 * Begins rotations for those of these clients that are due, as far as windows, freezes, pauses and their wave allow.
 * @returns how many were begun
 */
export async function beginDue(run: Run, candidates: Candidates): Promise<number> {
  const { config, store } = run.context.resources;
  const policy = policyNamed(run.policy, config);
  if (policy === null) return 0;
  if (!(await isOpen(policy, run.policy, await store.now(), store))) {
    run.context.log.debug({ policy: run.policy }, HELD_BACK);
    if (policy.standby || policy.adopt === 'overlap') await wakeHeld(await candidates.due(), run);
    return 0;
  }
  const { cohort } = policy;
  if (cohort === null) return beginAll(await candidates.due(), run);
  if ((await store.wave(run.policy)) === null) {
    const { due, changesForm } = await examined(await candidates.due(), run);
    const first = cohortSize(due.length, changesForm, cohort);
    if (first >= due.length) return beginAll(due, run);
    await store.beginWave({ policy: run.policy, id: run.slot }, { found: due.length, first });
    const told = { policy: run.policy, clients: due.length, first, then_ms: cohort.thenMs };
    run.context.log.info(told, 'a part of the due clients goes first: the rest follows when it signs in');
    // Another run may have begun one just before.
    return goOn(run, candidates, cohort, due);
  }
  return goOn(run, candidates, cohort, null);
}

/** Null when the config has none of that name: a job may name any. */
function policyNamed(name: string, { policies }: Config): PolicyConfig | null {
  return Object.hasOwn(policies, name) ? (policies[name] ?? null) : null;
}

/** False while nothing of the policy begins on schedule: its wave stays as it is. Pauses of single apps and clients are asked for where these are begun. */
async function isOpen(policy: PolicyConfig, name: string, now: number, store: Store): Promise<boolean> {
  return mayBegin(policy, now) && !(await isPolicyPaused(store, name, now));
}

async function beginAll(refs: readonly ClientRef[], run: Run): Promise<number> {
  let started = 0;
  for (const page of pagesOf(refs)) started += (await beginPage(page, null, run)).started;
  return started;
}

/** @param due those that this run has found due; null when it has not looked */
async function goOn(
  run: Run,
  candidates: Candidates,
  cohort: CohortPolicy,
  due: readonly ClientRef[] | null,
): Promise<number> {
  const { store } = run.context.resources;
  const standing = await store.wave(run.policy);
  if (standing === null) return 0;
  const name = { policy: run.policy, id: standing.wave.id };
  let started = 0;
  let { wave, now } = standing;
  if (wave.phase === 'cohort' && waveStep(wave, cohort, now).do !== 'stop') {
    started = await beginCohort(wave, name, run, candidates, due);
    // What has failed by now counts.
    ({ wave, now } = (await store.wave(run.policy)) ?? standing);
  }
  const step = waveStep(wave, cohort, now);
  switch (step.do) {
    case 'hold':
      return started;
    case 'stop':
      await stop(name, wave, step.why, run.context);
      return started;
    case 'forget':
      await store.endWave(name);
      return started;
    case 'follow':
      return started + (await beginRest(name, run, candidates, cohort));
    default:
      return step satisfies never;
  }
}

/** Chooses what is missing of the cohort, and begins the clients in it that were not begun. */
async function beginCohort(
  wave: Wave,
  name: WaveRef,
  run: Run,
  candidates: Candidates,
  found: readonly ClientRef[] | null,
): Promise<number> {
  const { store } = run.context.resources;
  if (wave.chosen < wave.first) {
    const due = found ?? (await examined(await candidates.due(), run)).due;
    for (const page of pagesOf(cohortOf(due, wave.first))) {
      if ((await store.chooseFirst(name, page)) >= wave.first) break;
    }
  }
  let started = 0;
  const waiting = () => store.waitingFirst(run.policy);
  for (const page of pagesOf(await waiting())) {
    const begun = await beginPage(page, name, run, waiting);
    started += begun.started;
    // A client that a person rotates, or that is gone, shows nothing of the wave.
    if (begun.idle.length > 0) await store.leaveWave(name, begun.idle);
  }
  if (!candidates.isTick) return started;
  for (const page of pagesOf(await store.failedOf(run.policy))) started += (await beginPage(page, name, run)).started;
  return started;
}

/** Page by page, and each page only while nothing has stopped the wave and a policy may begin: what is begun by then finishes. */
async function beginRest(name: WaveRef, run: Run, candidates: Candidates, cohort: CohortPolicy): Promise<number> {
  const { resources, log } = run.context;
  const { store } = resources;
  const policy = policyNamed(name.policy, resources.config);
  if (policy === null || !(await store.follow(name))) return 0;
  let started = 0;
  for (const page of pagesOf(await candidates.due())) {
    const standing = await store.wave(name.policy);
    if (standing === null || standing.wave.id !== name.id) return started;
    if (!(await isOpen(policy, name.policy, standing.now, store))) return started;
    const step = waveStep(standing.wave, cohort, standing.now);
    if (step.do === 'stop') await stop(name, standing.wave, step.why, run.context);
    if (step.do !== 'follow') return started;
    started += (await beginPage(page, name, run)).started;
  }
  // A deployment that does not answer has clients left that belong to this wave.
  if (candidates.areAll && run.failures.length === 0) await store.endWave(name);
  log.info({ policy: name.policy, started }, 'the rest of the due clients is begun');
  return started;
}

async function stop(name: WaveRef, wave: Wave, why: string, { resources, log }: JobContext): Promise<void> {
  const { found, first, active, failed } = wave;
  const data = { policy: name.policy, wave: name.id, clients: found, first, active, failed };
  const entry = { type: 'policy.stopped', client: null, rotation: null, actor: 'rekeyd', reason: why, data } as const;
  if (await resources.store.stopWave(name, why, [entry])) {
    log.error({ ...data, error: why }, `nothing more is rotated on schedule: ${howToResume(name.policy)}`);
  }
}

/** Goes on with a wave that was begun, when no tick comes. @throws as the sweep does: the job is tried again */
export async function waveJob({ policy, slot }: Discover, context: JobContext): Promise<{ readonly started: number }> {
  const run = openRun(policy, slot, context);
  const { resources } = context;
  const standing = await resources.store.wave(policy);
  // What is due without a wave is the next sweep's.
  if (standing === null) return { started: 0 };
  const started = await beginDue(run, { due: () => dueRefs(policy, context), areAll: true, isTick: false });
  if (run.failures.length > 0) throw run.failures[0];
  return { started };
}

/** Stops the wave of a policy, or makes it go on, when it is time. Called by upkeep, and when a rotation of the wave failed. */
export async function watchWave(name: string, context: JobContext): Promise<void> {
  const { config, store } = context.resources;
  const policy = policyNamed(name, config);
  if (policy === null || policy.cohort === null) return;
  const standing = await store.wave(name);
  if (standing === null) return;
  const { wave, now } = standing;
  const step = waveStep(wave, policy.cohort, now);
  if (step.do === 'stop') return stop({ policy: name, id: wave.id }, wave, step.why, context);
  if (!(await isOpen(policy, name, now, store))) return;
  // Past its time a cohort may wait for a client that is not due any more: a run finds out.
  const isLate = step.do === 'hold' && wave.phase === 'cohort' && now >= wave.startedAt + policy.cohort.thenMs;
  if (step.do !== 'hold' || isLate) await wakeWave(name, now, context.queues);
}

async function wakeWave(policy: string, now: number, queues: Queues): Promise<void> {
  const slot = `wave-${new Date(now).toISOString()}`;
  await queues.addUpkeepAgain('wave', { v: 1, policy, slot }, `wave.${policy}`);
}

/** A person has seen why the wave of this policy stopped, and wants the rest of it begun. False when it was not stopped. */
export async function resumePolicy(
  policy: string,
  { actor, reason, claimedBy }: Omit<Cause, 'request'>,
  { store, queues }: { readonly store: Store; readonly queues: Queues },
): Promise<boolean> {
  const who = { actor, ...(claimedBy !== undefined && { claimed_by: claimedBy }), reason };
  const entry = { type: 'policy.resumed', client: null, rotation: null, ...who, data: { policy } } as const;
  if (!(await store.resumeWave(policy, [entry]))) return false;
  await wakeWave(policy, await store.now(), queues);
  return true;
}
