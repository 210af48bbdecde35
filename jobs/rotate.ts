/** The job that wakes the loop for one client, and what its coming to rest means to BullMQ. */
import { DelayedError, type Job, UnrecoverableError, WaitingError, Worker } from 'bullmq';
import type { AuditType } from '../src/core/audit.ts';
import type { ClientRef } from '../src/core/client.ts';
import type { Step } from '../src/core/plan.ts';
import type { ClientPolicy } from '../src/core/policy.ts';
import type { ClientRecord } from '../src/core/record.ts';
import { effectsFor } from '../src/rotation/effects.ts';
import { rotate, type Tools } from '../src/rotation/loop.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import type { Rest } from '../src/rotation/steps.ts';
import { systemClock } from '../src/time.ts';
import { type JobContext, pauseDeployment, resumeDeployment } from './context.ts';
import { parseJob, rotateSchema } from './schemas.ts';

/** How long somebody who was outrun stays away, in ms. */
const OUTRUN_MS = 1_000;

export type RotateHooks = Pick<Tools, 'onPoint' | 'onStep'>;

/** What a person should hear of, and how loudly. */
const TOLD: Partial<Record<AuditType, { readonly level: 'info' | 'error'; readonly message: string }>> = {
  'key.activated': { level: 'info', message: 'the new key is proven and in use' },
  'rotation.completed': { level: 'info', message: 'the old key is gone: the rotation is finished' },
  'rotation.failed': { level: 'error', message: 'the rotation failed' },
  'rotation.rolled_back': {
    level: 'error',
    message: 'the rotation was rolled back: the key from before is in use again',
  },
  'client.halted': { level: 'error', message: 'nothing more is done for this client until it is rotated on demand' },
};

export async function rotateJob(
  job: Job,
  token: string | undefined,
  signal: AbortSignal,
  context: JobContext,
  hooks: RotateHooks,
): Promise<string> {
  const { client: ref } = parseJob(rotateSchema, 'rotate', job.data);
  const { parts, log, keks } = context;
  const policy = clientPolicy(parts, ref);
  if (policy === null) {
    throw new UnrecoverableError(
      `The config no longer takes care of ${ref}. Its record stays as it is; put it back to go on.`,
    );
  }
  const started = (step: Step, record: ClientRecord) => {
    log.debug({ client: ref, rotation: record.rotation?.id, step: step.do }, 'step');
    hooks.onStep?.(step, record);
  };
  /** The API took a PATCH. */
  let isAccepted = false;
  const tools: Tools = {
    store: parts.store,
    // Rotations of one client may each have a job: one at a time is at work on it. A job whose worker was killed has its own hold back at once.
    hold: { holder: job.id ?? '', forMs: context.lockMs },
    effects: effectsFor(ref, policy, parts, keks),
    random: Math.random,
    ...hooks,
    onStep: started,
    onCommit: ({ entries, record }, before) => {
      for (const { type, client, rotation, data } of entries) {
        isAccepted ||= type === 'key.published' && data.status !== undefined;
        const told = TOLD[type];
        if (told !== undefined) log[told.level]({ client, rotation, kid: data.kid, error: data.error }, told.message);
      }
      if (goesOnUsedUp(record, policy) && !goesOnUsedUp(before, policy)) {
        const { rotation, lastError } = record;
        log.error(
          { client: ref, rotation: rotation?.id, error: lastError },
          'a key that may have leaked is not replaced yet',
        );
      }
    },
  };
  const rest = await rotate(ref, policy, tools, signal);
  if (isAccepted) await resumeDeployment(context, parts.deploymentOf(ref).config.id);
  return settle(rest, ref, job, token, context);
}

/** After a compromise a rotation outlasts its attempts. */
function goesOnUsedUp({ rotation, attempts }: ClientRecord, policy: ClientPolicy): boolean {
  return rotation !== null && rotation.compromised !== null && attempts >= policy.attempts;
}

/** Waiting is BullMQ's business, on this machine's clock: a timer would die with the process. */
async function settle(
  rest: Rest,
  ref: ClientRef,
  job: Job,
  token: string | undefined,
  context: JobContext,
): Promise<string> {
  const { parts, queues } = context;
  const deployment = parts.deploymentOf(ref).config.id;
  switch (rest.kind) {
    case 'done':
      return 'done';
    case 'wait':
      await job.moveToDelayed(systemClock.now() + rest.ms, token);
      throw new DelayedError();
    case 'outrun':
      await job.moveToDelayed(systemClock.now() + OUTRUN_MS, token);
      throw new DelayedError();
    case 'again':
      await job.moveToWait(token);
      throw new WaitingError();
    case 'throttled':
      await queues.rotateQueue(deployment).rateLimit(rest.ms);
      throw Worker.RateLimitError();
    case 'credential':
      await pauseDeployment(context, deployment, rest.message);
      await job.moveToWait(token);
      throw new WaitingError();
    default:
      return rest satisfies never;
  }
}
