/** What an answer of the API says about its whole deployment: its key is refused, or it wants to be left alone. */
import type { AuditDraft } from '../core/audit.ts';
import type { ClientRef } from '../core/client.ts';
import { formatDuration } from '../core/duration.ts';
import type { FailedReply } from '../core/reply.ts';
import { monotonic, sleep } from '../time.ts';
import { ApiError } from '../wacht/api-error.ts';
import type { DeploymentResources, Resources } from './resources.ts';

type Shared = Pick<Resources, 'store' | 'log'>;

function entry(type: AuditDraft['type'], deployment: string, reason: string): AuditDraft {
  return { type, client: null, rotation: null, actor: 'rekeyd', reason, data: { deployment } };
}

/** How long, in ms, a server that asks to be left alone is left alone: its wish is a hint. */
export function throttledMs({ config }: DeploymentResources, wishMs: number): number {
  return Math.min(wishMs, config.throttleMaxMs);
}

/** After a PATCH of `ref`, or a look at it, that was not answered with success. */
export async function noteAnswer(
  shared: Shared,
  deployment: DeploymentResources,
  ref: ClientRef,
  reply: FailedReply,
): Promise<void> {
  if (reply.class === 'throttled') await noteThrottling(shared, deployment, ref, reply.retryAfterMs);
  if (reply.class === 'credential' || reply.class === 'forbidden') await noteRefusal(shared, deployment, ref, reply);
}

/**
 * A 429 may be about that client alone, or about a limit that others do not share. All are left alone when a read is sent away too, or does not come
 * through, or when several clients in a row were sent away.
 */
async function noteThrottling(
  shared: Shared,
  deployment: DeploymentResources,
  ref: ClientRef,
  wishMs: number,
): Promise<void> {
  const { id } = deployment.config;
  const answer = await deployment.listApps().catch((error: unknown) => error);
  const isAlone = Array.isArray(answer) && !(await shared.store.turnedDown(id, ref, 'limited'));
  if (isAlone) return;
  const again = answer instanceof ApiError && answer.reply.class === 'throttled' ? answer.reply.retryAfterMs : 0;
  await throttle(shared, deployment, Math.max(wishMs, again));
}

/**
 * One client that is forbidden, or one passing fault in the platform's own check, is no matter of the others. The API key itself is refused when it may
 * not even read, or when several clients in a row are turned down.
 */
async function noteRefusal(
  shared: Shared,
  deployment: DeploymentResources,
  ref: ClientRef,
  { message }: Pick<FailedReply, 'message'>,
): Promise<void> {
  const { id } = deployment.config;
  try {
    await deployment.listApps();
  } catch (error) {
    if (await noteFailedRead(shared, deployment, error)) return;
  }
  if (await shared.store.turnedDown(id, ref, 'refused')) await pause(shared, id, message);
}

/** After a read that failed. True when the API key was refused. */
export async function noteFailedRead(
  shared: Shared,
  deployment: DeploymentResources,
  error: unknown,
): Promise<boolean> {
  if (!(error instanceof ApiError)) return false;
  const { reply } = error;
  if (reply.class === 'throttled') await throttle(shared, deployment, reply.retryAfterMs);
  if (reply.class !== 'credential' && reply.class !== 'forbidden') return false;
  await pause(shared, deployment.config.id, reply.message);
  return true;
}

async function throttle({ store, log }: Shared, deployment: DeploymentResources, wishMs: number): Promise<void> {
  const { id } = deployment.config;
  const ms = throttledMs(deployment, wishMs);
  const why = `the API asks to be left alone: only what is pressing is sent for ${formatDuration(ms)}`;
  if (await store.throttle(id, ms, [entry('deployment.throttled', id, why)])) {
    log.warn({ deployment: id, ms }, why);
  }
}

/** What becomes of a deployment when its API key is refused. Log, status, doctor and docs/operations.md say it in these words. */
export const WHILE_REFUSED =
  'It is tried now and then, and goes on at once when a working key lies in the file behind api_key (behind env: that takes a restart).';

async function pause({ store, log }: Shared, deployment: string, message: string): Promise<void> {
  const why = `the API key is refused: ${message}`;
  if (await store.pause(deployment, why, [entry('deployment.paused', deployment, why)])) {
    log.error({ deployment, error: message, fix: WHILE_REFUSED }, 'the API key is refused: this deployment is paused');
  }
}

/** Why the store gives a call no turn. */
export const NO_TURN = {
  budget: 'the rate limit of the deployment is used up',
  paused: 'the deployment is paused: its API key is refused',
  throttled: 'the API asks to be left alone',
} as const;

/** The longest that a call waits for the budget, in ms: the job that wants it is tried again later. */
const LONGEST_WAIT_MS = 60_000;

/**
 * For a list, which takes its turn behind rotations; one that is urgent goes before them, and does not wait until a throttle is over.
 * @throws ApiError when the deployment is paused, wants to be left alone, or has no call left in a minute
 */
export function turnForList(shared: Shared, deployment: DeploymentResources, urgent: boolean): Promise<void> {
  return awaitTurn(shared, deployment, `Reading lists of deployment ${deployment.config.id}`, urgent);
}

/** The same for any call that is not part of a rotation. @param what it would do, for the error */
export async function awaitTurn(
  { store }: Pick<Shared, 'store'>,
  { config: { id, rateLimit } }: DeploymentResources,
  what: string,
  urgent: boolean,
): Promise<void> {
  const { paused, throttledUntil } = (await store.deploymentStates([id])).get(id) ?? NEITHER;
  if (paused !== null) throw new ApiError(what, unasked(`the deployment is paused, because ${paused}`), PUT_RIGHT);
  if (throttledUntil !== null && !urgent) throw new ApiError(what, unasked(NO_TURN.throttled), BY_ITSELF);
  for (const startedAt = monotonic(); ; ) {
    const turn = await store.take(id, rateLimit, urgent);
    if (turn.go) return;
    const isWorthIt = turn.because === 'budget' || (urgent && turn.because === 'throttled');
    if (!isWorthIt || monotonic() - startedAt + turn.forMs > LONGEST_WAIT_MS)
      throw new ApiError(what, unasked(NO_TURN[turn.because]), turn.because === 'paused' ? PUT_RIGHT : BY_ITSELF);
    await sleep(turn.forMs);
  }
}

const PUT_RIGHT = 'Put a working API key in place: the deployment goes on when it is accepted.';
const BY_ITSELF = 'It goes on by itself when that is over.';

const NEITHER = { paused: null, throttledUntil: null };

function unasked(message: string): FailedReply {
  return { class: 'unknown', status: null, message };
}

/** The API took a call: refusals are over. */
export async function noteAccepted({ store, log }: Shared, deployment: string): Promise<void> {
  const why = 'the API key is accepted again';
  if (await store.accepted(deployment, [entry('deployment.resumed', deployment, why)])) {
    log.info({ deployment }, `${why}: resumed`);
  }
}
