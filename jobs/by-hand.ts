/** What a person does with one client, for the commands and for the page. */
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

/** Changes the record of one client. @returns null when it was done, else why not */
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

/** Makes a worker look at the client soon. */
export type Wake = (ref: ClientRef) => Promise<unknown>;

export interface Enrolled {
  /** Null: it is enrolled. */
  readonly error: string | null;
  readonly was: Enrolment | null;
}

/** A person says that the application of a client reads its keys from us. From then on schedules rotate it. */
export async function enrollClient(resources: Resources, ref: ClientRef, cause: Cause, wake: Wake): Promise<Enrolled> {
  let was: Enrolment | null = null;
  let isTaken = false;
  const error = await change(resources, ref, (record, policy, now) => {
    was = record.enrolment;
    isTaken = record.rotation !== null;
    return enroll(record, cause, { policy, now });
  });
  // The key that was offered becomes active: a worker brings server and signers up to date.
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
 * Puts the previous key back, by a rotation that makes no key. It also pauses the client: the previous key is due, so the next tick of its schedule would
 * undo the rollback.
 * @param request the name of the rollback: a second call with the same name does nothing more
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
    // An earlier call has begun it, and its answer was lost.
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

/** Pauses the client, unless a pause of this client is in force already. */
async function holdBack(store: Store, ref: ClientRef, cause: Cause, op: string): Promise<void> {
  const scope: Scope = { client: ref };
  const now = await store.now();
  if ((await store.pausesOf([scope])).some((pause) => isInForce(pause, now))) return;
  await pauseScope(scope, { ...cause, reason: `rolled back: ${cause.reason}` }, null, store, op);
}
