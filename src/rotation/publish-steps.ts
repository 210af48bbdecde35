/** The steps that change what the server shows: the look before, the set that we serve, the PATCH. Each resolves with the transition for its outcome. */
import type { Owner, Purpose } from '../core/action.ts';
import { bodyOf, showsTheSame } from '../core/document.ts';
import { observed } from '../core/enrolment.ts';
import { keyOf } from '../core/keys.ts';
import { isPressing } from '../core/pressing.ts';
import { publication } from '../core/publication.ts';
import { publishFailed } from '../core/publish-failure.ts';
import { announced, patched, served, servingAnnounced, withdrawn } from '../core/publishing.ts';
import type { ClientRecord } from '../core/record.ts';
import { isFresh, SLOW_MS } from '../core/server.ts';
import { failedStep, heldUpStep, refusedStep, throttledStep } from '../core/setback.ts';
import { andThen, type Transition } from '../core/transition.ts';
import { messageOf } from '../errors.ts';
import { after, monotonic } from '../time.ts';
import { ApiError } from '../wacht/api-error.ts';
import type { Change } from './commit.ts';
import { missed } from './missed.ts';
import type { Effects, Run, Step } from './run.ts';

/** Nothing that may take long comes between a look and the PATCH that is built on it: the issuer is asked before it. */
export async function look(record: ClientRecord, { owner }: Step<'look'>, effects: Effects, run: Run): Promise<Change> {
  const asked = publication(record, run.policy);
  const obstacle = await cutoverObstacle(record, asked?.purpose ?? null, effects, run);
  if (obstacle !== null) return obstacle;
  try {
    const { client, ageMs } = await effects.look(isPressing(record), run.signal);
    if (asked === null) return observed(record, client, run.policy, run.now() - ageMs);
    if (ageMs > SLOW_MS && !isPressing(record)) return failedStep(record, owner, tooSlow(ageMs), run.context());
    return observed(record, client, run.policy, run.now() - Math.min(ageMs, SLOW_MS));
  } catch (error) {
    // Never taken for a client without keys: the next PATCH would erase everybody else's.
    return lookFailed(record, owner, error, run);
  }
}

function tooSlow(ageMs: number): string {
  return `the API took ${Math.round(ageMs / 100) / 10} s to show the client: meanwhile somebody else may have changed it`;
}

function lookFailed(record: ClientRecord, owner: Owner, error: unknown, run: Run): Transition {
  const why = messageOf(error);
  const reply = error instanceof ApiError ? error.reply : null;
  if (reply?.class === 'throttled') return throttledStep(record, owner, { ms: reply.retryAfterMs, why }, run.context());
  if (reply?.class === 'refused') return refusedStep(record, owner, why, run.context());
  if (reply?.class === 'credential') return heldUpStep(record, owner, why, run.context());
  return failedStep(record, owner, why, run.context());
}

export async function serve(record: ClientRecord, step: Step<'serve'>, effects: Effects, run: Run): Promise<Change> {
  // A server that reads our set already loses the old key with this write, before any PATCH.
  const obstacle = await cutoverObstacle(record, step.purpose, effects, run);
  if (obstacle !== null) return obstacle;
  const intended = await run.announce(servingAnnounced(record, step, { now: run.now(), policy: run.policy }));
  try {
    await effects.serve(step.keys);
    return served(intended, step.keys, step.owner);
  } catch (error) {
    const failure = { class: 'not_written', status: null, error: messageOf(error), durationMs: 0 } as const;
    const told = publishFailed(intended, step, failure, run.now());
    return andThen(told, (next) => failedStep(next, step.owner, failure.error, run.context()));
  }
}

export async function patch(record: ClientRecord, step: Step<'patch'>, effects: Effects, run: Run): Promise<Change> {
  const obstacle = await cutoverObstacle(record, step.purpose, effects, run);
  if (obstacle !== null) return obstacle;
  // The issuer took long to answer, so look again. It is not asked a second time: its answer counts for a while.
  if (!isFresh(record.server, run.now())) return { record, entries: [] };
  const deadline = run.latest() + effects.patchDeadlineMs;
  const intended = await run.announce(announced(record, step, { now: run.now(), deadline, policy: run.policy }));
  if (!isFresh(record.server, run.latest())) {
    const told = unsent(record, intended, step, 'nothing was sent: the client had to be looked at again', run);
    const change = await changedMeanwhile(record, told.record, step.owner, effects, run);
    if (change !== null) return andThen(told, () => change);
  }
  const startedAt = monotonic();
  const restMs = deadline - run.latest();
  if (restMs <= 0) {
    const why = 'no time was left before the deadline: nothing was sent';
    return andThen(unsent(record, intended, step, why, run), (next) =>
      failedStep(next, step.owner, why, run.context()),
    );
  }
  const outcome = await effects.patch(bodyOf(step.document), AbortSignal.any([run.signal, after(restMs)]));
  return patched(intended, step, outcome, monotonic() - startedAt, run.context());
}

/** Takes the intent back. The audit log has it, so it also says that nothing was sent. */
function unsent(
  record: ClientRecord,
  intended: ClientRecord,
  step: Step<'patch'>,
  error: string,
  run: Run,
): Transition {
  const failure = { class: 'not_sent', status: null, error, durationMs: 0 } as const;
  return publishFailed(withdrawn(intended, record), step, failure, run.now());
}

/**
 * Looks again when the store took long to make the intent durable. Null when the server still shows what the intent was built on; else nothing is sent, and
 * the next step starts from what the server shows now.
 * @param unsent the record without the intent
 */
async function changedMeanwhile(
  { server }: ClientRecord,
  unsent: ClientRecord,
  owner: Owner,
  effects: Effects,
  run: Run,
): Promise<Change | null> {
  try {
    const { client, ageMs } = await effects.lookAgain(isPressing(unsent), run.signal);
    if (ageMs > SLOW_MS && !isPressing(unsent)) return failedStep(unsent, owner, tooSlow(ageMs), run.context());
    if (client !== null && showsTheSame(client, server.observed.client)) return null;
    return observed(unsent, client, run.policy, run.now() - Math.min(ageMs, SLOW_MS));
  } catch (error) {
    return lookFailed(unsent, owner, error, run);
  }
}

/**
 * A cutover is not begun while its issuer does not answer: it could not be proven, and would be rolled back after a while without sign-ins. Null: it may
 * begin. After a compromise it always may, because the old key must go in any case.
 */
async function cutoverObstacle(
  record: ClientRecord,
  purpose: Purpose | null,
  effects: Effects,
  run: Run,
): Promise<Transition | null> {
  const { rotation, server } = record;
  if (purpose !== 'cut_over' || rotation?.phase.name !== 'delivered' || rotation.compromised !== null) return null;
  if (run.policy.prove !== 'required' || server.inFlight !== null) return null;
  try {
    const answer = await effects.unreachable(record, keyOf(record, rotation.phase.kid), run.signal);
    if (answer === null) return null;
    const why = `nothing was sent: the new key could not be proven after the cutover: ${answer.message}`;
    return answer.verdict === 'throttled'
      ? throttledStep(record, 'rotation', { ms: answer.retryAfterMs, why }, run.context())
      : failedStep(record, 'rotation', why, run.context());
  } catch (error) {
    return missed(record, 'rotation', error, run);
  }
}
