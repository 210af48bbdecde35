/** What a person does with one client: the commands and the page do it the same way. */
import { enroll } from '../src/core/adoption.ts';
import { type ClientRef, unconfigured } from '../src/core/client.ts';
import type { Cause } from '../src/core/history.ts';
import { activeKey } from '../src/core/keys.ts';
import { isInForce, type Scope } from '../src/core/pause.ts';
import type { ClientPolicy } from '../src/core/policy.ts';
import type { ClientRecord, Enrolment } from '../src/core/record.ts';
import { rollback } from '../src/core/rollback.ts';
import type { Transition } from '../src/core/transition.ts';
import { hasCode, messageOf } from '../src/errors.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import type { Resources } from '../src/rotation/resources.ts';
import type { Store } from '../src/store/store.ts';
import { pauseScope } from './hold.ts';
import { apply, rotationId } from './start.ts';

const REFUSALS = ['not_found', 'not_enrolled', 'not_eligible', 'under_way', 'key_invalid'] as const;

/** Null when it was done, else why not. */
export async function change(
  resources: Resources,
  ref: ClientRef,
  transition: (record: ClientRecord, policy: ClientPolicy, now: number) => Transition,
): Promise<string | null> {
  const policy = clientPolicy(resources, ref);
  if (policy === null) return unconfigured(ref);
  try {
    await apply(resources.store, ref, policy, (record, now) => transition(record, policy, now));
    return null;
  } catch (error) {
    if (REFUSALS.some((code) => hasCode(error, code))) return messageOf(error);
    throw error;
  }
}

/** Sees to it that a worker looks at the client soon. */
export type Wake = (ref: ClientRef) => Promise<unknown>;

export interface Enrolled {
  /** Null: it is enrolled. */
  readonly error: string | null;
  readonly was: Enrolment | null;
}

/** Somebody says that the application of a client takes its keys from us: from then on schedules rotate it. */
export async function enrollClient(resources: Resources, ref: ClientRef, cause: Cause, wake: Wake): Promise<Enrolled> {
  let was: Enrolment | null = null;
  let isTaken = false;
  const error = await change(resources, ref, (record, policy, now) => {
    was = record.enrolment;
    isTaken = record.rotation !== null;
    return enroll(record, cause, { policy, now });
  });
  // A key that was offered takes over: what its server and its signers hold follows.
  if (error === null && isTaken) await wake(ref);
  return { error, was };
}

export interface RolledBack {
  /** Null: it has begun. */
  readonly error: string | null;
  readonly rotation: string;
  /** The key that is put back, and the one that it replaces. */
  readonly kid: string | null;
  readonly replaces: string | null;
}

/**
 * Puts the previous key back, as a rotation that makes none. Its client is paused: that key was due, and the next tick of the schedule would undo what was just
 * asked for.
 * @param request names it: asked for a second time, it is the same rollback
 */
export async function rollBack(
  resources: Resources,
  ref: ClientRef,
  cause: Cause,
  request: string,
  wake: Wake,
): Promise<RolledBack> {
  const { store } = resources;
  const id = rotationId(store, `rollback ${request}`, ref);
  const now = await store.now();
  let kids: Pick<RolledBack, 'kid' | 'replaces'> = { kid: null, replaces: null };
  const error = await change(resources, ref, (record, policy) => {
    // It had begun before the answer got lost.
    if (record.rotation?.id === id) return { record, entries: [] };
    const begun = rollback(record, { ...cause, id }, policy, now);
    kids = { kid: begun.record.rotation?.rollsBack?.kid ?? null, replaces: activeKey(record)?.kid ?? null };
    return begun;
  });
  if (error === null) {
    await holdBack(store, ref, cause, `pause ${request}`);
    await wake(ref);
  }
  return { error, rotation: id, ...kids };
}

/** A pause of this client that somebody has begun before stays as it is. */
async function holdBack(store: Store, ref: ClientRef, cause: Cause, op: string): Promise<void> {
  const scope: Scope = { client: ref };
  const now = await store.now();
  if ((await store.pausesOf([scope])).some((pause) => isInForce(pause, now))) return;
  await pauseScope(scope, { ...cause, reason: `rolled back: ${cause.reason}` }, null, store, op);
}
