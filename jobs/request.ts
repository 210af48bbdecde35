/** An on-demand request: fans out to the clients that it selects. */
import { DelayedError, type Job } from 'bullmq';
import type { ClientRef } from '../src/core/client.ts';
import { backoffMs } from '../src/core/policy.ts';
import { members } from '../src/core/reply.ts';
import { hasCode, messageOf, RekeydError } from '../src/errors.ts';
import { systemClock } from '../src/time.ts';
import { ApiError } from '../src/wacht/api-error.ts';
import type { JobContext } from './context.ts';
import { fanOut } from './fan-out.ts';
import { requestName } from './inboxes.ts';
import { turnedDown } from './producers.ts';
import { awayMs, MOST_TRIES } from './put-back.ts';
import type { PutOff } from './result.ts';
import { parseJob, type Request, requestSchema } from './schemas.ts';
import { isNamed } from './selection.ts';

export interface RequestResult {
  readonly rotations: readonly { readonly id: string; readonly client: ClientRef }[];
  /** Clients for which nothing was started, and why. Absent when there are none. */
  readonly errors?: readonly { readonly client: string; readonly message: string }[];
  /** Clients of a fan-out that were left alone, because they are not enrolled. Absent when there are none. */
  readonly skipped?: readonly NotEnrolled[];
  /**
   * Clients that are rotated although they were not enrolled: their applications have to take the new key from their key folders at once, or they cannot
   * sign in. Absent when there are none.
   */
  readonly taken_over?: readonly NotEnrolled[];
}

export interface NotEnrolled {
  readonly client: ClientRef;
  readonly enrolment: 'found' | 'held';
}

/** Between two tries, with full jitter. */
const BACKOFF = { baseMs: 500, maxMs: 30_000 };

/** A request is kept until it is answered: its sender may not look again. What may pass is waited out, however few attempts the producer allowed. */
export async function requestJob(job: Job, token: string | undefined, context: JobContext): Promise<RequestResult> {
  const asked = parseJob(requestSchema, job.name, job.data);
  const name = requestName(job.queueName, job.id ?? '');
  if (asked.try_alg && !isNamed(asked.select)) throw new RekeydError('job_invalid', TRY_NAMED);
  const why = turnedDown(asked, job.queueName, context.resources.config);
  if (why !== null) await turnDown(why, asked, name, context);
  const before = members(job.progress) as Partial<PutOff>; // only this function writes it
  const { rotations: earlier = [], taken_over: takenOver = [], unknown = 0 } = before;
  const isLast = unknown >= MOST_TRIES;
  const soFar = { begun: new Map(earlier.map(({ id, client }) => [client, id])), takenOver: [...takenOver] };
  try {
    return await fanOut(asked, name, soFar, isLast, context);
  } catch (error) {
    if (hasCode(error, 'job_invalid')) throw error;
    const { attemptsStarted: tries } = job;
    const isUnknown = hasCode(error, 'not_configured');
    if (isUnknown && isLast) throw new RekeydError('job_invalid', messageOf(error));
    const waitMs = isUnknown ? awayMs(unknown) : waitAfter(error, tries, context);
    const why = messageOf(error);
    context.log.warn({ request: name, tries, wait_ms: waitMs, error: why }, 'a request waits: it is tried again');
    const rotations = [...soFar.begun].map(([client, id]) => ({ id, client }));
    const putOff = { tries, why, rotations, taken_over: soFar.takenOver, unknown: isUnknown ? unknown + 1 : unknown };
    await job.updateProgress(putOff satisfies PutOff);
    await job.moveToDelayed(systemClock.now() + waitMs, token);
    throw new DelayedError();
  }
}

/** Its sender may not look at the answer: log and audit tell of it too. @throws RekeydError `job_invalid` */
async function turnDown(why: string, { actor, reason }: Request, name: string, context: JobContext): Promise<never> {
  const data = { request: name, code: 'not_allowed', error: why };
  const draft = { type: 'rotation.refused', client: null, rotation: null, actor, reason, data } as const;
  await context.resources.store.append([draft], `refused ${name}`);
  throw new RekeydError('job_invalid', why);
}

const TRY_NAMED =
  'try_alg goes with select.clients: an alg that nobody was seen to sign in with is tried on clients that somebody names. It is not tried again.';

function waitAfter(error: unknown, tries: number, { resources: { config } }: JobContext): number {
  const ms = backoffMs(tries, { policy: { backoff: BACKOFF }, random: Math.random() });
  if (!(error instanceof ApiError) || error.reply.class !== 'throttled') return ms;
  const longest = Math.max(...config.deployments.map(({ throttleMaxMs }) => throttleMaxMs));
  return Math.min(error.reply.retryAfterMs, longest);
}
