/** The job that wakes the loop for one client, and what its coming to rest means to BullMQ. */
import { DelayedError, type Job } from 'bullmq';
import type { ClientRef } from '../src/core/client.ts';
import { members } from '../src/core/reply.ts';
import { handsFor } from '../src/rotation/effects.ts';
import { appOf } from '../src/rotation/facts.ts';
import { amend, type Rest, rotate, type Tools } from '../src/rotation/loop.ts';
import { clientPolicy, type RotationPolicy } from '../src/rotation/policy.ts';
import { systemClock } from '../src/time.ts';
import type { JobContext } from './context.ts';
import { putBack } from './put-back.ts';
import { SPARE } from './queues.ts';
import { parseJob, rotateSchema } from './schemas.ts';
import { teller } from './telling.ts';
import { watchWave } from './wave.ts';

/** How long a job waits after another worker was faster, in ms: twice as long each time, up to the longest. */
const OUTRUN_MS = 50;
const LONGEST_OUTRUN_MS = 60_000;

/** After this many times in a row it is told: that is no coincidence. */
const OUTRUN_TOLD = 6;

export type RotateHooks = Pick<Tools, 'onPoint' | 'onStep'>;

/** What a run came to; see {@link lookAgain}. */
export interface RotateResult {
  readonly client: ClientRef;
  readonly op: string | null;
  /** What is left is for idle time. */
  readonly spare?: true;
}

export async function rotateJob(
  job: Job,
  token: string | undefined,
  signal: AbortSignal,
  context: JobContext,
  hooks: RotateHooks,
): Promise<RotateResult> {
  const { client: ref } = parseJob(rotateSchema, 'rotate', job.data);
  const { resources, keks, queues } = context;
  const policy = clientPolicy(resources, ref);
  if (policy === null) {
    const why = `The config does not take care of ${ref}. Its record stays as it is; put it back to go on.`;
    return putBack(job, token, why, context);
  }
  if (job.id !== ref) {
    // Version 0.1 named jobs after rotations: two of them could be at work on one client.
    await queues.wake(ref, false);
    return { client: ref, op: null };
  }
  const stopping = new Set<string>();
  const told = teller(ref, policy, context.log);
  const tools: Tools = {
    hasTime: job.opts.priority === SPARE,
    store: resources.store,
    ...handsFor(ref, policy, resources, keks),
    random: Math.random,
    trace: resources.tracing.trace,
    async policyNow() {
      await resources.facts.refresh([appOf(ref)]);
      return clientPolicy(resources, ref) ?? policy;
    },
    ...hooks,
    onStep(action, record) {
      told.onStep(action, record);
      hooks.onStep?.(action, record);
    },
    onCommit(change, before) {
      told.onCommit(change, before);
      if (change.counted?.outcome === 'failed') stopping.add(change.counted.wave.policy);
    },
  };
  const rest = await rotate(ref, policy, tools, signal);
  // A wave with failures stops before more of it begins. Upkeep looks too, in case this worker dies here.
  for (const name of stopping) await watchWave(name, context);
  return settle(rest, ref, policy, job, token, context);
}

/** Waiting is BullMQ's business, on this machine's clock: a timer would die with the process. */
async function settle(
  rest: Rest,
  ref: ClientRef,
  policy: RotationPolicy,
  job: Job,
  token: string | undefined,
  context: JobContext,
): Promise<RotateResult> {
  switch (rest.kind) {
    case 'done':
      return { client: ref, op: rest.op, ...(rest.spare && { spare: true }) };
    case 'wait':
      if (job.progress !== 0) await job.updateProgress(0);
      await job.moveToDelayed(systemClock.now() + rest.ms, token);
      await lookAgain({ client: ref, op: rest.op }, context);
      throw new DelayedError();
    case 'outrun': {
      const { outrun = 0 } = members(job.progress) as Partial<Progress>; // only this function writes it
      if (outrun + 1 === OUTRUN_TOLD) await tellOutrun(ref, rest.why, policy, context);
      await job.updateProgress({ outrun: outrun + 1, why: rest.why } satisfies Progress);
      const ms = Math.min(LONGEST_OUTRUN_MS, OUTRUN_MS * 2 ** outrun);
      await job.moveToDelayed(systemClock.now() + ms, token);
      throw new DelayedError();
    }
    default:
      return rest satisfies never;
  }
}

interface Progress {
  /** How often in a row another worker was at work on this client. */
  readonly outrun: number;
  readonly why: string;
}

/** A job that is outrun again and again must not wait in silence: `status` shows why. */
async function tellOutrun(
  ref: ClientRef,
  why: string,
  policy: RotationPolicy,
  { resources, log }: JobContext,
): Promise<void> {
  const error = `somebody else is at work on this client again and again: ${why}`;
  log.warn({ client: ref, error: why }, 'somebody else is at work on this client again and again: tried more rarely');
  await amend(
    ref,
    (record) => ({ ...record, server: { ...record.server, tries: { ...record.server.tries, error } } }),
    policy,
    resources.store,
  );
}

/**
 * A commit that came between the last look at the record and going to sleep, or to the end, found the job active, and did nothing more. So the record is
 * looked at once more from here: a commit that was too early for one of the two looks is seen by the other.
 */
export async function lookAgain({ client, op, spare }: RotateResult, { resources, queues }: JobContext): Promise<void> {
  if (spare) return queues.wakeSpare(client);
  if (op === null || (await resources.store.lastOp(client)) === op) return;
  const loaded = await resources.store.load(client);
  if (loaded === null || loaded.op === op) return;
  await queues.wake(client, loaded.record.rotation?.compromised != null);
}
