/**
 * A key that is kept ready for the next rotation of a client: made while nothing else is to be done, sealed, and handed to signers as their next one. A
 * compromise then takes one PATCH, and no key has to be made. Until then it is in no published document: a server takes no key that is not in use.
 */
import type { Action } from './action.ts';
import { isEligible } from './due.ts';
import { type Algorithm, activeKey, bury, type KeyMaterial, keyOf, type ManagedKey } from './keys.ts';
import { chosenAlg } from './obstacle.ts';
import type { ClientPolicy, Context } from './policy.ts';
import { safeAlg } from './possible.ts';
import type { ClientRecord } from './record.ts';
import { inPhase, type Rotation } from './rotation.ts';
import { desiredDelivery, sameDelivery } from './signers.ts';
import { entry, type Transition, UPKEEP } from './transition.ts';
import { backoffOf, NO_TRIES, type Tries } from './tries.ts';

export interface Standby {
  /** Null: none could be made yet. */
  readonly kid: string | null;
  /** Why it is given up: signers hand it back, then it is destroyed. Null while it is kept. */
  readonly leaving: string | null;
  /** Of making it. */
  readonly tries: Tries;
}

/** The alg of a key that a rotation would make now; null: none is to be kept. */
function wantedAlg(record: ClientRecord, policy: ClientPolicy): Algorithm | null {
  const { enrolment, halted, doubted, released, server } = record;
  if (!policy.standby || enrolment !== 'enrolled' || halted !== null || doubted || released) return null;
  if (!isEligible(server.observed.client) || activeKey(record) === undefined) return null;
  const alg = chosenAlg(record, policy);
  return alg === null ? null : safeAlg(alg, chosenAlg(record, { alg: 'keep' }), policy);
}

/** The last part of {@link ./plan.ts}: keys that are in use come first. */
export function standingBy(record: ClientRecord, policy: ClientPolicy, now: number): Action | null {
  const { standby, signers } = record;
  if (standby !== undefined && standby.kid !== null) {
    const { kid, leaving } = standby;
    if (leaving !== null) {
      return sameDelivery(signers.delivered, desiredDelivery(record)) ? { do: 'drop_standby', kid } : null;
    }
    const why = whyUnfit(record, keyOf(record, kid), policy, now);
    return why === null ? null : { do: 'leave_standby', why };
  }
  return mayBeMade(record, policy) ? makingOf(record, policy, now) : null;
}

function makingOf(record: ClientRecord, policy: ClientPolicy, now: number): Action | null {
  const alg = wantedAlg(record, policy);
  if (alg === null) return null;
  return backoffOf(record.standby?.tries ?? NO_TRIES, now) ?? { do: 'make_standby', alg };
}

/** Nothing else is to be done for the client, so a worker has the time. */
function mayBeMade(record: ClientRecord, policy: ClientPolicy): boolean {
  const isIdle = record.rotation === null && record.retirements.length === 0 && record.server.inFlight === null;
  return isIdle && wantedAlg(record, policy) !== null;
}

/** True while {@link standingBy} has something to do that does not come with time alone. */
export function isStandbyMissing(record: ClientRecord, policy: ClientPolicy): boolean {
  const { kid = null, leaving = null } = record.standby ?? {};
  return kid === null ? mayBeMade(record, policy) : leaving !== null;
}

/** When the standby key is to be replaced by another one, in ms since the epoch; null when none is kept. */
export function standbyUntil(
  record: ClientRecord,
  { rotateEveryMs }: Pick<ClientPolicy, 'rotateEveryMs'>,
): number | null {
  const { standby } = record;
  if (standby === undefined || standby.kid === null || standby.leaving !== null) return null;
  return keyOf(record, standby.kid).createdAt + rotateEveryMs;
}

function whyUnfit(record: ClientRecord, key: ManagedKey, policy: ClientPolicy, now: number): string | null {
  // A rotation under way has one of its own, or has taken it.
  if (record.rotation !== null) return null;
  const alg = wantedAlg(record, policy);
  if (alg === null) return 'no standby key is kept for this client any more';
  if (key.alg !== alg) return `a new key of this client would sign ${alg}`;
  if (now >= (standbyUntil(record, policy) ?? now)) return 'it is as old as a key may become';
  return null;
}

export function standbyMade(record: ClientRecord, key: KeyMaterial, { now }: Pick<Context, 'now'>): Transition {
  const none = { publishedAt: null, activatedAt: null, proof: null };
  const fresh: ManagedKey = { ...key, state: 'pre-active', createdAt: now, ...none };
  const standby: Standby = { kid: key.kid, leaving: null, tries: NO_TRIES };
  const next: ClientRecord = { ...record, keys: [...record.keys, fresh], standby };
  const data = { kid: key.kid, alg: key.alg, standby: true };
  return {
    record: next,
    entries: [
      entry(next, UPKEEP, 'key.generated', { ...data, from: null, to: 'pre-active' }),
      entry(next, UPKEEP, 'key.stored', data),
    ],
  };
}

export function standbyFailed(record: ClientRecord, change: (tries: Tries) => Tries): ClientRecord {
  const standby = record.standby ?? { kid: null, leaving: null, tries: NO_TRIES };
  return { ...record, standby: { ...standby, tries: change(standby.tries) } };
}

/** The key is still held by signers: it goes when they have given it up. */
export function standbyLeft(record: ClientRecord, why: string): ClientRecord {
  const { standby } = record;
  return standby === undefined || standby.kid === null ? record : { ...record, standby: { ...standby, leaving: why } };
}

/** Its private half is erased with this. */
export function standbyDropped(record: ClientRecord, kid: string, { now }: Pick<Context, 'now'>): Transition {
  const { state: from } = keyOf(record, kid);
  const { standby, ...rest } = bury(record, kid, now);
  const data = { kid, from, to: 'destroyed', standby: true, why: standby?.leaving ?? null };
  return { record: rest, entries: [entry(rest, UPKEEP, 'key.destroyed', data)] };
}

/**
 * Before a rotation makes a key: it takes the standby key. After a compromise the standby key is given up, unless the person who reported that says otherwise: a
 * thief who read the key in use from a sink could read this one there too, since all sinks are given the same. That holds for one that is not known to be delivered
 * as well: a worker may have died between handing it out and noting that.
 */
export function standbyStep(record: ClientRecord, rotation: Rotation): Action | null {
  const { standby } = record;
  if (standby === undefined || standby.kid === null || standby.leaving !== null) return null;
  const { kid } = standby;
  if (keyOf(record, kid).alg !== rotation.alg) {
    return { do: 'leave_standby', why: `the new key of its client signs ${rotation.alg}` };
  }
  if (rotation.compromised !== null && rotation.keepStandby !== true) {
    return { do: 'leave_standby', why: 'signers may hold it beside the key that was reported' };
  }
  return { do: 'take_standby', rotation, kid };
}

export function standbyTaken(record: ClientRecord, rotation: Rotation, kid: string, now: number): ClientRecord {
  const { standby: _, ...rest } = record;
  const stored = { ...inPhase(rotation, { name: 'stored', kid }), keysMade: rotation.keysMade + 1, tries: NO_TRIES };
  const taken: ClientRecord = { ...rest, rotation: stored };
  // Signers have it as their next key: nothing would be delivered, and nothing would go on.
  const isHeld = sameDelivery(record.signers.delivered, desiredDelivery(taken));
  return isHeld ? { ...taken, rotation: inPhase(stored, { name: 'delivered', kid, at: now }) } : taken;
}
