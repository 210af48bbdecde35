/** Pausing and resuming scheduled rotations, for the commands and for the page. */
import { policyFor } from '../src/config/lookup.ts';
import type { Config } from '../src/config/model.ts';
import { type ClientRef, unconfigured } from '../src/core/client.ts';
import type { Cause } from '../src/core/history.ts';
import { byScope, isInForce, type Pause, pauseEntry, pauseOf, type Scope, scopeName } from '../src/core/pause.ts';
import { knownOtherwise } from '../src/rotation/naming.ts';
import type { Store } from '../src/store/store.ts';

/** The longest pause, in ms: its end must be a date that can be written. */
export const LONGEST_PAUSE_MS = 3650 * 86_400_000;

type By = Omit<Cause, 'request'>;

/**
 * Begins a pause. It replaces an earlier pause of the same scope.
 * @param forMs in ms; null: until a person ends it
 * @param op id of the operation: a second call with the same id does nothing. Absent: a new id
 */
export async function pauseScope(
  scope: Scope,
  { actor, claimedBy, reason }: By,
  forMs: number | null,
  store: Pick<Store, 'now' | 'beginPause'>,
  op?: string,
): Promise<Pause> {
  const at = await store.now();
  const until = forMs === null ? null : at + forMs;
  const made: Pause = { scope, actor, reason, at, until };
  const who = { actor, ...(claimedBy !== undefined && { claimedBy }), reason };
  const end = until === null ? null : new Date(until).toISOString();
  await store.beginPause(made, [pauseEntry('schedule.paused', scope, who, { until: end })], op);
  return made;
}

/** Why a client cannot be paused; null: it can. Without this check a misspelt reference would be paused without a warning. */
export async function whyNotPaused(ref: ClientRef, config: Config, store: Store): Promise<string | null> {
  if (policyFor(config, ref) === null) return unconfigured(ref);
  if ((await store.lastOp(ref)) !== null) return null;
  return (await knownOtherwise(store, ref)) ?? `${ref} is not known, so no schedule rotates it.`;
}

export interface Resumed {
  readonly scope: Scope;
  readonly wasPaused: boolean;
  /** Of a policy: its wave had stopped, and goes on. Null for any other selector. */
  readonly wasStopped: boolean | null;
  /** A wider pause that is still in force. */
  readonly stillHeld: Pause | null;
}

/**
 * Ends the pause of exactly this scope; of a policy, its wave goes on too.
 * @param resumeWave see {@link ./wave.ts#resumePolicy}
 */
export async function resumeScope(
  scope: Scope,
  cause: By,
  { config, store }: { readonly config: Config; readonly store: Store },
  resumeWave: (policy: string) => Promise<boolean>,
): Promise<Resumed> {
  const [before] = await store.pausesOf([scope]);
  const wasPaused = before !== undefined && isInForce(before, await store.now());
  await store.endPause(scope, [pauseEntry('schedule.resumed', scope, cause)]);
  // After the pause has ended: a worker that goes on with the wave asks for pauses first.
  const wasStopped = 'policy' in scope ? await resumeWave(scope.policy) : null;
  return { scope, wasPaused, wasStopped, stillHeld: await wider(scope, config, store) };
}

async function wider(scope: Scope, config: Config, store: Pick<Store, 'pauses' | 'now'>): Promise<Pause | null> {
  const pauses = byScope(await store.pauses(), await store.now());
  if ('client' in scope) return pauseOf(pauses, scope.client, policyFor(config, scope.client)?.name ?? null);
  return pauses.get(scopeName({ all: true })) ?? null;
}
