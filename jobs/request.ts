/** An on-demand request: fans out to the clients that it selects. */
import { DelayedError, type Job } from 'bullmq';
import type { ClientRef } from '../src/core/client.ts';
import { backoffMs } from '../src/core/policy.ts';
import { members } from '../src/core/reply.ts';
import { hasCode, messageOf, RekeydError } from '../src/errors.ts';
import type { Store } from '../src/store/store.ts';
import { systemClock } from '../src/time.ts';
import { ApiError } from '../src/wacht/api-error.ts';
import { APPROVAL_MS } from './approval.ts';
import { entryOf } from './breaker.ts';
import { noteCall, otherOfKey } from './called.ts';
import { type Claim, claimOf } from './claim.ts';
import type { JobContext } from './context.ts';
import { fanOut } from './fan-out.ts';
import { isReserved, requestName } from './inboxes.ts';
import { producerClaim, turnedDown } from './producers.ts';
import { awayMs, MOST_TRIES } from './put-back.ts';
import type { PutOff } from './result.ts';
import { contradiction, parseJob, type Request, requestSchema } from './schemas.ts';

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
  /** The request that answers this one: both came by one Idempotency-Key, and a power cut kept the second from being told so. Absent: it answers itself. */
  readonly same_as?: string;
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
  const wrong = contradiction(asked);
  if (wrong !== null) throw new RekeydError('job_invalid', `${wrong} It is not tried again.`);
  const { store, config } = context.resources;
  const name = requestName(job.queueName, job.id ?? '');
  if (isReserved(job.queueName, name)) throw new RekeydError('job_invalid', RESERVED);
  const claimed = await claimOf(asked, job, { store, keks: context.keks }).catch(async (error: unknown) => {
    // Before it is known who asks, nothing else of a request is looked at.
    throw hasCode(error, 'kms_unavailable') ? await putOff(error, job, token, null, {}, context) : error;
  });
  const claim = claimed ?? producerClaim(job);
  const turned = turnedDown(asked, job.queueName, config);
  if (turned !== null) throw await refused(turned, 'not_allowed', { asked, job: name, claim }, store);
  const before = members(job.progress) as Partial<PutOff>; // only `putOff` writes it
  if (before.since === undefined && claim?.call !== undefined) {
    const other = await otherOfKey(name, claim.call, store);
    if (other !== null) return { rotations: [], same_as: other };
    await noteCall({ asked, job: name, claimedBy: claim.claimedBy, call: claim.call }, store);
  }
  const { rotations: earlier = [], taken_over: takenOver = [], unknown = 0, since = await store.now() } = before;
  const isLast = unknown >= MOST_TRIES;
  const soFar = { begun: new Map(earlier.map(({ id, client }) => [client, id])), takenOver: [...takenOver] };
  try {
    const askedAt = claim?.at ?? job.timestamp;
    const result = await fanOut({ asked, job: name, claim, askedAt, isLast, context }, soFar);
    if (before.why !== undefined)
      context.log.info({ request: name, error: before.why }, 'a request that waited is answered');
    return result;
  } catch (error) {
    if (hasCode(error, 'job_invalid') || hasCode(error, 'breaker')) throw error;
    if (hasCode(error, 'not_approved') && (await store.now()) - since > APPROVAL_MS) {
      throw await refused(NOT_APPROVED, 'not_approved', { asked, job: name, claim }, store);
    }
    const isUnknown = hasCode(error, 'not_configured');
    if (isUnknown && isLast) throw new RekeydError('job_invalid', messageOf(error));
    const rotations = [...soFar.begun].map(([client, id]) => ({ id, client }));
    const news = { rotations, taken_over: soFar.takenOver, unknown: isUnknown ? unknown + 1 : unknown, since };
    throw await putOff(error, job, token, isUnknown ? awayMs(unknown) : null, news, context);
  }
}

/**
 * Says why a request waits, in its progress and in the log, and has it tried again.
 * @param waitMs in ms; null: as long as the error asks for
 * @param news what this try has changed of its progress
 */
async function putOff(
  error: unknown,
  job: Job,
  token: string | undefined,
  waitMs: number | null,
  news: Partial<PutOff>,
  context: JobContext,
): Promise<DelayedError> {
  const before = members(job.progress) as Partial<PutOff>; // only this function writes it
  const { attemptsStarted: tries } = job;
  const why = messageOf(error);
  const ms = waitMs ?? waitAfter(error, tries, context);
  const fields = { request: requestName(job.queueName, job.id ?? ''), tries, wait_ms: ms, error: why };
  context.log[why === before.why ? 'debug' : 'warn'](fields, 'a request waits: it is tried again');
  const left = { rotations: [], taken_over: [], unknown: 0, ...before, ...news, tries, why };
  await job.updateProgress(left satisfies Partial<PutOff>);
  await job.moveToDelayed(systemClock.now() + ms, token);
  return new DelayedError();
}

const RESERVED =
  'Ids that begin like this one are for requests of rekeyd itself. Leave jobId out, or choose another one.';

/** Its sender may not look at the answer: the audit log tells of it too. */
async function refused(
  error: string,
  code: string,
  by: { readonly asked: Request; readonly job: string; readonly claim: Claim | null },
  store: Pick<Store, 'append'>,
): Promise<RekeydError> {
  await store.append([entryOf(by, 'rotation.refused', { code, error })], `refused ${by.job}`);
  return new RekeydError('job_invalid', error);
}

const NOT_APPROVED = 'Nobody else approved it within 24 h. Nothing was started: ask again.';

/** An approval wakes its request by itself, unless the one who approves is cut off in between. */
const LOOK_FOR_APPROVAL_MS = 10 * 60_000;

function waitAfter(error: unknown, tries: number, { resources: { config } }: JobContext): number {
  if (hasCode(error, 'not_approved')) return LOOK_FOR_APPROVAL_MS;
  const ms = backoffMs(tries, { policy: { backoff: BACKOFF }, random: Math.random() });
  if (!(error instanceof ApiError) || error.reply.class !== 'throttled') return ms;
  const longest = Math.max(...config.deployments.map(({ throttleMaxMs }) => throttleMaxMs));
  return Math.min(error.reply.retryAfterMs, longest);
}
