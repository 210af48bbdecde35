/** What each step does to the world outside the record. One function per step; each answers with the transition for what it came to. */
import type { Action, Owner, Purpose } from '../core/action.ts';
import type { ClientRef } from '../core/client.ts';
import { delivered, generated, type LeftOut, notDelivered } from '../core/delivering.ts';
import { bodyOf, type PatchBody, type PublicJwk, showsTheSame } from '../core/document.ts';
import { chosen } from '../core/ending.ts';
import { observed } from '../core/enrolment.ts';
import { type Hearing, heard } from '../core/heard.ts';
import { type Algorithm, activeKey, holds, type KeyMaterial, keyOf, type ManagedKey } from '../core/keys.ts';
import { publication } from '../core/plan.ts';
import type { ClientPolicy, Context } from '../core/policy.ts';
import { isPressing } from '../core/pressing.ts';
import type { Verdict } from '../core/proof.ts';
import { provedNew, provedOld, unprovable } from '../core/proving.ts';
import { announced, type PatchOutcome, patched, served, servingAnnounced, withdrawn } from '../core/publishing.ts';
import type { ClientRecord } from '../core/record.ts';
import { incomingKid } from '../core/rotation.ts';
import { FRESH_MS, SLOW_MS } from '../core/server.ts';
import { failedStep, heldUpStep, refusedStep, throttledStep } from '../core/setback.ts';
import type { Delivery } from '../core/signers.ts';
import type { Transition } from '../core/transition.ts';
import { SinkOutdated } from '../deliver/sink.ts';
import { isUnopenable, messageOf } from '../errors.ts';
import { after, monotonic } from '../time.ts';
import { ApiError } from '../wacht/api-error.ts';
import type { Look } from '../wacht/looks.ts';
import type { Change } from './commit.ts';

/** A new key: its public half, and its private half already sealed. */
export interface NewKey extends KeyMaterial {
  readonly jwe: string;
}

const NOTHING_SEEN = { client: null, ageMs: 0 };

/** A verdict that says nothing of the key. */
export type Unproven = Extract<Verdict, { verdict: 'unknown' | 'throttled' }>;

/** The world around one client. What these throw counts as a failure of the step, except where the answer has a class of its own. */
export interface Effects {
  /** Rejects with the signal's reason when it aborts before the key is begun. */
  generate(alg: Algorithm, urgent: boolean, signal: AbortSignal): Promise<NewKey>;
  /** Hands signers the keys named by kid, all of them at once. Answers which of the dispensable ones they go without. */
  deliver(record: ClientRecord, delivery: Delivery, when: { now: number; epoch: number }): Promise<readonly LeftOut[]>;
  /** Reads what the client's signers report. Never throws: what could not be read is in the answer. */
  hear(): Promise<Hearing>;
  /** Throws when nothing was learned. */
  look(urgent: boolean, signal: AbortSignal): Promise<Look>;
  /** The same beside what the budget was asked for. */
  lookAgain(urgent: boolean, signal: AbortSignal): Promise<Look>;
  serve(keys: readonly PublicJwk[]): Promise<void>;
  patch(body: PatchBody, signal: AbortSignal): Promise<PatchOutcome>;
  /** After this long, in ms, a PATCH can no longer reach the server. */
  readonly patchDeadlineMs: number;
  /** @param name the `kid` in the assertion */
  prove(record: ClientRecord, key: ManagedKey, name: string, signal: AbortSignal): Promise<Verdict>;
  /** Null when the place where `key` will be proven answers, else what it came to. */
  unreachable(record: ClientRecord, key: ManagedKey, signal: AbortSignal): Promise<Unproven | null>;
}

/** What an effect needs to look at, or to commit on the way. */
export interface Run {
  readonly ref: ClientRef;
  readonly policy: ClientPolicy;
  readonly signal: AbortSignal;
  /** Of the claim under which it works. */
  readonly epoch: number;
  /** Set when a folder held a newer set twice in this run: the delivery failed. */
  readonly outdated: string | null;
  /** ms since the epoch on the store's clock, which is the same for every worker. Never ahead of it: no overlap is cut short. */
  now(): number;
  /** The same, and never behind it: nothing is sent after a deadline. */
  latest(): number;
  context(): Context;
  /** Makes the intent durable before an effect that others can see. */
  announce(change: Transition): Promise<ClientRecord>;
}

type Step<K extends Action['do']> = Extract<Action, { do: K }>;

export async function generate(
  record: ClientRecord,
  { rotation }: Step<'generate'>,
  effects: Effects,
  run: Run,
): Promise<Change> {
  try {
    const { jwe, ...key } = await effects.generate(rotation.alg, isPressing(record), run.signal);
    const change = generated(record, rotation, key, run.context());
    return { ...change, seal: [{ thumbprint: key.thumbprint, jwe }] };
  } catch (error) {
    // Nothing failed: the next worker makes the key.
    run.signal.throwIfAborted();
    return failedStep(record, 'rotation', messageOf(error), run.context());
  }
}

export async function deliver(
  record: ClientRecord,
  { delivery, owner }: Step<'deliver'>,
  effects: Effects,
  run: Run,
): Promise<Change> {
  if (run.outdated !== null) return notDelivered(record, owner, run.outdated, run.context());
  try {
    const leftOut = await effects.deliver(record, delivery, { now: run.now(), epoch: run.epoch });
    return delivered(record, delivery, owner, run.context(), leftOut);
  } catch (error) {
    if (error instanceof SinkOutdated) throw error;
    return notDelivered(record, owner, messageOf(error), run.context());
  }
}

export async function hear(record: ClientRecord, effects: Effects, run: Run): Promise<Change> {
  const hearing = await effects.hear();
  return heard(record, hearing, run.context());
}

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
  // Where the server looks there already, the set alone takes the old key away, before any PATCH.
  const obstacle = await cutoverObstacle(record, step.purpose, effects, run);
  if (obstacle !== null) return obstacle;
  const intended = await run.announce(servingAnnounced(record, step, run.now()));
  try {
    await effects.serve(step.keys);
    return served(intended, step.keys, step.owner);
  } catch (error) {
    return failedStep(intended, step.owner, messageOf(error), run.context());
  }
}

export async function patch(record: ClientRecord, step: Step<'patch'>, effects: Effects, run: Run): Promise<Change> {
  const obstacle = await cutoverObstacle(record, step.purpose, effects, run);
  if (obstacle !== null) return obstacle;
  const isOldAt = (time: number) => time - record.server.observed.at > FRESH_MS;
  // The question took long: look again. The issuer is not asked a second time.
  if (isOldAt(run.now())) return { record, entries: [] };
  const deadline = run.latest() + effects.patchDeadlineMs;
  const intended = await run.announce(announced(record, step, { now: run.now(), deadline }));
  if (isOldAt(run.latest())) {
    const change = await changedMeanwhile(record, withdrawn(intended, record), step.owner, effects, run);
    if (change !== null) return change;
  }
  const startedAt = monotonic();
  const restMs = deadline - run.latest();
  if (restMs <= 0) {
    const why = 'no time was left before the deadline: nothing was sent';
    return failedStep(withdrawn(intended, record), step.owner, why, run.context());
  }
  const outcome = await effects.patch(bodyOf(step.document), AbortSignal.any([run.signal, after(restMs)]));
  return patched(intended, step, outcome, monotonic() - startedAt, run.context());
}

/**
 * The store took long to make the intent durable: null when the server still shows what it was built on. Else nothing is sent, and the next step starts from
 * what it shows now.
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
 * A cutover that cannot be proven afterwards would have to be taken back after a while without sign-ins, so it is not begun. Not after a compromise: there
 * the old key must go in any case.
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
    return failedStep(record, 'rotation', messageOf(error), run.context());
  }
}

export async function proveNew(
  record: ClientRecord,
  { kid }: Step<'prove_new'>,
  effects: Effects,
  run: Run,
): Promise<Change> {
  try {
    const verdict = await effects.prove(record, keyOf(record, kid), kid, run.signal);
    return provedNew(record, kid, verdict, run.context());
  } catch (error) {
    return failedStep(record, 'rotation', messageOf(error), run.context());
  }
}

export async function proveOld(
  record: ClientRecord,
  step: Step<'prove_old'>,
  effects: Effects,
  run: Run,
): Promise<Change> {
  try {
    const verdict = await effects.prove(record, keyOf(record, step.kid), step.name, run.signal);
    return provedOld(record, step, verdict, run.context());
  } catch (error) {
    const why = messageOf(error);
    return isUnopenable(error)
      ? unprovable(record, step.old, why, run.context())
      : failedStep(record, step.old, why, run.context());
  }
}

/**
 * Which key the server takes, of a rotation that a person has ended: the old one where it signs in, else the new one where that does. A key that nobody
 * can sign in with, or that nothing has shown to work, is never chosen; where the server shows it, the old document is put back.
 */
export async function choose(
  record: ClientRecord,
  { rotation }: Step<'choose'>,
  effects: Effects,
  run: Run,
): Promise<Change> {
  const incoming = incomingKid(rotation);
  const fresh = incoming === null ? undefined : keyOf(record, incoming);
  const accepts = async (key: ManagedKey | undefined) => {
    if (key === undefined) return false;
    const verdict = await effects.prove(record, key, key.kid, run.signal).catch(() => null);
    return verdict?.verdict === 'accepted';
  };
  if (await accepts(activeKey(record))) return chosen(record, rotation, 'old', run.context());
  if (await accepts(fresh)) return chosen(record, rotation, 'new', run.context());
  const { client, ageMs } = await effects.lookAgain(true, run.signal).catch(() => NOTHING_SEEN);
  if (client === null) {
    return failedStep(
      record,
      'rotation',
      'it is not known which key the server takes: neither the issuer nor the API answers',
      run.context(),
    );
  }
  const isShown = fresh !== undefined && client.keys.some((shown) => holds(shown, fresh.id));
  const seen = observed(record, client, run.policy, run.now() - ageMs).record;
  return chosen(seen, rotation, isShown ? 'neither' : 'old', run.context());
}
