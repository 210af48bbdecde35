/** What handing keys to signers does to the record. */
import type { Owner } from './action.ts';
import { offered } from './adoption.ts';
import type { AuditData } from './audit.ts';
import { activate } from './ending.ts';
import type { KeyMaterial, ManagedKey } from './keys.ts';
import type { Context } from './policy.ts';
import type { ClientRecord } from './record.ts';
import { inPhase, type Rotation } from './rotation.ts';
import { failedStep, relieved } from './setback.ts';
import type { Delivery } from './signers.ts';
import { entry, type Transition, UPKEEP } from './transition.ts';
import { NO_TRIES } from './tries.ts';

/** The new key and its sealed private half go into the store in one commit. */
export function generated(record: ClientRecord, rotation: Rotation, key: KeyMaterial, { now }: Context): Transition {
  const fresh: ManagedKey = {
    ...key,
    state: 'pre-active',
    createdAt: now,
    publishedAt: null,
    activatedAt: null,
    proof: null,
  };
  const stored = inPhase(rotation, { name: 'stored', kid: key.kid });
  const next: ClientRecord = {
    ...record,
    keys: [...record.keys, fresh],
    rotation: { ...stored, keysMade: rotation.keysMade + 1, tries: NO_TRIES },
  };
  const data = { kid: key.kid, alg: key.alg };
  return {
    record: next,
    entries: [
      entry(next, rotation, 'key.generated', { ...data, from: null, to: 'pre-active' }),
      entry(next, rotation, 'key.stored', data),
    ],
  };
}

/** A key that signers go without, and why it cannot be opened. */
export interface LeftOut {
  readonly kid: string;
  readonly why: string;
}

/** Signers hold what they should. In the phase `proven` that flips them to the new key, which makes it the active one, or the one that is offered. */
export function delivered(
  record: ClientRecord,
  delivery: Delivery,
  owner: Owner,
  context: Context,
  leftOut: readonly LeftOut[] = [],
): Transition {
  const { rotation } = record;
  const held = relieved({ ...record, signers: { ...record.signers, delivered: delivery } }, owner);
  const on = rotation ?? held.retirements.at(-1)?.rotation ?? UPKEEP;
  const told = entry(held, on, 'key.delivered', deliveryData(delivery, leftOut));
  if (rotation?.phase.name === 'stored') {
    const phase = { name: 'delivered', kid: rotation.phase.kid, at: context.now } as const;
    const next = { ...inPhase(rotation, phase), tries: NO_TRIES };
    return { record: { ...held, rotation: next }, entries: [told] };
  }
  if (rotation?.phase.name === 'proven') {
    const { kid } = rotation.phase;
    const next = rotation.adopting ? offered(held, rotation, kid, context) : activate(held, rotation, kid, context);
    return { ...next, entries: [told, ...next.entries] };
  }
  return { record: held, entries: [told] };
}

function deliveryData({ current, next, previous }: Delivery, leftOut: readonly LeftOut[]): AuditData {
  if (leftOut.length === 0) return { current, next, previous };
  const missing = leftOut.map(({ kid }) => kid);
  const held = (kid: string | null) => (kid !== null && missing.includes(kid) ? null : kid);
  const error = leftOut.map(({ why }) => why).join(' ');
  return { current: held(current), next: held(next), previous: held(previous), left_out: missing, error };
}

/** Some sinks may hold the new set and some the old one: not known. */
export function notDelivered(record: ClientRecord, owner: Owner, why: string, context: Context): Transition {
  return failedStep(unknownDelivery(record), owner, why, context);
}

/** Not of a client without keys of ours: its folder would be emptied, and may hold the last copy of a key that a lost store knew. */
export function unknownDelivery(record: ClientRecord): ClientRecord {
  if (record.keys.length === 0) return record;
  return { ...record, signers: { ...record.signers, delivered: null } };
}
