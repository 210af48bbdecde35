/** What each step does to the world outside the record. One function per step; each answers with the transition for what it came to. */

import { observed } from '../core/adopt.ts';
import type { Change } from '../core/change.ts';
import { leftAlone } from '../core/change.ts';
import type { ClientRef } from '../core/client.ts';
import type { KeyDocument, ObservedClient, PublicJwk } from '../core/document.ts';
import { bearRefusal, tryAgain } from '../core/ending.ts';
import { keyOf } from '../core/keys.ts';
import { FRESH_MS, type Purpose, type Step, UNSETTLED } from '../core/plan.ts';
import type { ClientPolicy, Context } from '../core/policy.ts';
import {
  announced,
  delivered,
  generated,
  type LeftOut,
  notDelivered,
  type PatchOutcome,
  patched,
  served,
  servingAnnounced,
} from '../core/progress.ts';
import type { Verdict } from '../core/proof.ts';
import { proved, unprovable } from '../core/proving.ts';
import type { Algorithm, ClientRecord, Delivery, ManagedKey, Rotation } from '../core/record.ts';
import { hasCode, isUnopenable, messageOf } from '../errors.ts';
import { after, monotonic } from '../time.ts';
import { ApiError } from '../wacht/api-error.ts';
import type { Commit } from './commit.ts';

/** A new key: its public half, and its private half already sealed. */
export interface SealedKey extends Pick<ManagedKey, 'kid' | 'alg' | 'jwk' | 'pem'> {
  readonly jwe: string;
}

/** The world around one client. What these throw counts as a failed attempt of the step, except where the answer has a class of its own. */
export interface Effects {
  generate(alg: Algorithm): Promise<SealedKey>;
  /** Hands signers the keys named by kid, all of them at once. Answers which of the dispensable ones they go without. */
  deliver(record: ClientRecord, delivery: Delivery, when: { now: number; epoch: number }): Promise<readonly LeftOut[]>;
  /** The client as the server listed it up to `maxAgeMs` ago; null when it does not. Throws when the list cannot be read. */
  observe(maxAgeMs: number): Promise<ObservedClient | null>;
  serve(keys: readonly PublicJwk[]): Promise<void>;
  patch(document: KeyDocument, signal: AbortSignal): Promise<PatchOutcome>;
  /** After this long, in ms, a PATCH can no longer reach the server. */
  readonly patchDeadlineMs: number;
  prove(record: ClientRecord, key: ManagedKey, signal: AbortSignal): Promise<Verdict>;
  /** Null when the place where `key` will be proven answers, else why it does not. */
  unreachable(record: ClientRecord, key: ManagedKey, signal: AbortSignal): Promise<string | null>;
}

/** How a run came to rest. */
export type Rest =
  | { readonly kind: 'done' }
  | { readonly kind: 'wait'; readonly ms: number; readonly why: string }
  /** One PATCH per run, since a run is what the deployment's rate limit counts. */
  | { readonly kind: 'again' }
  /** Somebody else works on this record. */
  | { readonly kind: 'outrun' }
  | { readonly kind: 'throttled'; readonly ms: number }
  | { readonly kind: 'credential'; readonly message: string };

/** What a step's effect came to. `rest` ends the run once the change is committed. */
export interface Outcome extends Change, Pick<Commit, 'seal' | 'erase'> {
  readonly rest?: Rest;
}

/** The run's hands: everything an effect needs to look at or to commit on the way. */
export interface Run {
  readonly ref: ClientRef;
  readonly policy: ClientPolicy;
  readonly signal: AbortSignal;
  /** Of the claim under which it works. */
  readonly epoch: number;
  /** ms since the epoch on the store's clock, which is the same for every worker. Never ahead of it: no overlap is cut short. */
  now(): number;
  /** The same, and never behind it: nothing is sent after a deadline. */
  latest(): number;
  context(): Context;
  /** Makes the intent durable before an effect that others can see. */
  announce(change: Change): Promise<ClientRecord>;
}

export async function generate(record: ClientRecord, rotation: Rotation, effects: Effects, run: Run): Promise<Outcome> {
  try {
    const { jwe, ...key } = await effects.generate(rotation.alg);
    const change = generated(record, rotation, { ...key, thumbprint: key.kid }, run.context());
    return { ...change, seal: [{ kid: key.kid, jwe }] };
  } catch (error) {
    return tryAgain(record, run.context(), messageOf(error));
  }
}

export async function deliver(record: ClientRecord, delivery: Delivery, effects: Effects, run: Run): Promise<Outcome> {
  try {
    const leftOut = await effects.deliver(record, delivery, { now: run.now(), epoch: run.epoch });
    return delivered(record, delivery, run.context(), leftOut);
  } catch (error) {
    if (hasCode(error, 'store_fenced')) throw error;
    return notDelivered(record, messageOf(error), run.context());
  }
}

export async function observe(record: ClientRecord, effects: Effects, run: Run): Promise<Outcome> {
  try {
    const client = await effects.observe(record.observed.at === UNSETTLED ? 0 : FRESH_MS);
    return observed(record, client, run.policy, run.now());
  } catch (error) {
    // Never taken for a client without keys: the next PATCH would erase everybody else's.
    const why = messageOf(error);
    const reply = error instanceof ApiError ? error.reply : null;
    if (reply?.class === 'refused') return bearRefusal(record, run.context(), why);
    if (reply?.class !== 'throttled') return tryAgain(record, run.context(), why);
    const { retryAfterMs } = reply;
    return { ...leftAlone(record, retryAfterMs, why, run.context()), rest: { kind: 'throttled', ms: retryAfterMs } };
  }
}

export async function serve(
  record: ClientRecord,
  step: Extract<Step, { do: 'serve' }>,
  effects: Effects,
  run: Run,
): Promise<Outcome> {
  // Where the server looks there already, the set alone takes the old key away, before any PATCH.
  const obstacle = await cutoverObstacle(record, step.purpose, effects, run);
  if (obstacle !== null) return tryAgain(record, run.context(), obstacle);
  const intended = await run.announce(servingAnnounced(record, step.purpose));
  try {
    await effects.serve(step.keys);
    return served(intended, step.keys, run.policy);
  } catch (error) {
    return tryAgain(intended, run.context(), messageOf(error));
  }
}

export async function patch(
  record: ClientRecord,
  step: Extract<Step, { do: 'patch' }>,
  effects: Effects,
  run: Run,
): Promise<Outcome> {
  const obstacle = await cutoverObstacle(record, step.purpose, effects, run);
  if (obstacle !== null) return tryAgain(record, run.context(), obstacle);
  const deadline = run.latest() + effects.patchDeadlineMs;
  const intended = await run.announce(announced(record, step.document, step.purpose, deadline));
  const startedAt = monotonic();
  const restMs = deadline - run.latest();
  if (restMs <= 0) return tryAgain(intended, run.context(), 'the store was so slow that nothing was sent');
  const outcome = await effects.patch(step.document, AbortSignal.any([run.signal, after(restMs)]));
  const change = patched(intended, step.document, outcome, monotonic() - startedAt, run.context());
  switch (outcome.class) {
    case 'credential':
      return { ...change, rest: { kind: 'credential', message: outcome.message } };
    case 'throttled':
      return { ...change, rest: { kind: 'throttled', ms: outcome.retryAfterMs } };
    case 'done':
    case 'refused':
    case 'unknown':
      return change;
    default:
      return outcome satisfies never;
  }
}

/**
 * A cutover that cannot be proven afterwards would have to be taken back after a while without sign-ins, so it is not begun. Not after a compromise:
 * there the old key must go, come what may.
 */
async function cutoverObstacle(
  record: ClientRecord,
  purpose: Purpose,
  effects: Effects,
  run: Run,
): Promise<string | null> {
  const { rotation, inFlight } = record;
  if (purpose !== 'cut_over' || rotation?.phase.name !== 'delivered' || rotation.compromised !== null) return null;
  if (run.policy.prove !== 'required' || inFlight !== null) return null;
  try {
    const why = await effects.unreachable(record, keyOf(record, rotation.phase.kid), run.signal);
    return why === null ? null : `nothing was changed, because the new key could not be proven afterwards: ${why}`;
  } catch (error) {
    return messageOf(error);
  }
}

export async function prove(
  record: ClientRecord,
  step: Extract<Step, { do: 'prove' }>,
  effects: Effects,
  run: Run,
): Promise<Outcome> {
  try {
    const verdict = await effects.prove(record, keyOf(record, step.kid), run.signal);
    return proved(record, step.kid, step.expect, verdict, run.context());
  } catch (error) {
    if (step.expect === 'refused' && isUnopenable(error)) {
      return unprovable(record, step.kid, messageOf(error), run.context());
    }
    return tryAgain(record, run.context(), messageOf(error));
  }
}
