/**
 * Whether and when a client is to be rotated: small named checks in a chain, first hit wins. The reason goes verbatim to the audit trail.
 */
import { mayBeOffered } from './adoption.ts';
import type { ObservedClient } from './document.ts';
import { activeKey, type ManagedKey } from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';

export interface DueReason {
  readonly reason: 'never_rotated' | 'algorithm_changed' | 'format_changed' | 'too_old';
  readonly message: string;
}

type Check = (record: ClientRecord, policy: ClientPolicy, now: number) => DueReason | null;

const neverRotated: Check = (record, policy, now) =>
  activeKey(record) === undefined && now >= dueAt(record, policy)
    ? { reason: 'never_rotated', message: 'no key of this client is managed yet' }
    : null;

const algorithmChanged: Check = (record, policy) => {
  const active = activeKey(record);
  if (active === undefined || policy.alg === 'keep' || active.alg === policy.alg) return null;
  return { reason: 'algorithm_changed', message: `the active key signs ${active.alg}, the policy says ${policy.alg}` };
};

const formatChanged: Check = ({ server: { format } }, policy) => {
  if (format === null || policy.format === 'keep' || format === policy.format) return null;
  return { reason: 'format_changed', message: `published as ${format}, the policy says ${policy.format}` };
};

const tooOld: Check = (record, policy, now) => {
  const at = dueAt(record, policy);
  if (activeKey(record) === undefined || now < at) return null;
  return { reason: 'too_old', message: `the active key was due at ${new Date(at).toISOString()}` };
};

const CHECKS = [neverRotated, algorithmChanged, formatChanged, tooOld] as const;

/** The one `client_auth_method` (RFC 7523 section 2.2) that has keys. */
export const KEY_METHOD = 'private_key_jwt';

/** A client that keys can be rotated for. */
export function isEligible({
  active,
  authMethod,
  probe,
}: Pick<ObservedClient, 'active' | 'authMethod' | 'probe'>): boolean {
  return active && authMethod === KEY_METHOD && probe === undefined;
}

/**
 * True when a schedule may rotate this client. Others are left alone: an application that signs with a key of its own is locked out when it is
 * replaced. A key that is offered beside theirs replaces nothing.
 */
export function isScheduled(record: ClientRecord, policy: ClientPolicy): boolean {
  const { enrolment, server, doubted, released } = record;
  if (doubted || released || !isEligible(server.observed.client)) return false;
  return enrolment === 'enrolled' || policy.adopt === 'take_over' || mayBeOffered(record, policy);
}

/** Why this client is due now, or null. A client that is being rotated, halted, or not {@link isScheduled scheduled}, is not due. */
export function whyDue(record: ClientRecord, policy: ClientPolicy, now: number): DueReason | null {
  if (record.rotation !== null || record.halted !== null || !isScheduled(record, policy)) return null;
  for (const check of CHECKS) {
    const due = check(record, policy, now);
    if (due !== null) return due;
  }
  return null;
}

/**
 * When this client is next due, in ms since the epoch. The splay pulls a rotation forward, so that no key grows older than `rotate_every`; a new client is
 * put off by it, so that a fleet that came in at once does not rotate at once.
 */
export function dueAt(record: ClientRecord, policy: ClientPolicy): number {
  const active = activeKey(record);
  if (active === undefined) return record.foundAt + splayOffset(record.ref, policy.splayMs);
  if (algorithmChanged(record, policy, 0) !== null || formatChanged(record, policy, 0) !== null) return 0;
  // A splay of a whole interval would make some clients due at all times.
  const splay = Math.min(policy.splayMs, policy.rotateEveryMs / 2);
  return inUseSince(active) + policy.rotateEveryMs - splayOffset(record.ref, splay);
}

/** Since when the active key is in use, in ms since the epoch. */
export function inUseSince({ activatedAt, createdAt }: ManagedKey): number {
  return activatedAt ?? createdAt;
}

/** When the active key becomes older than the policy bears, in ms since the epoch. Null of a client that no schedule rotates. */
export function overdueFrom(record: ClientRecord, policy: ClientPolicy): number | null {
  const active = activeKey(record);
  return active === undefined || !isScheduled(record, policy) ? null : inUseSince(active) + policy.mustByMs;
}

export function isOverdue(record: ClientRecord, policy: ClientPolicy, now: number): boolean {
  const from = overdueFrom(record, policy);
  return from !== null && now >= from;
}

/**
 * Deterministic, evenly spread over `[0, splay)`: FNV-1a of the client reference, its bits mixed once more (the finalizer of MurmurHash3), since
 * ids that differ in their last digit only would stand close together.
 */
export function splayOffset(ref: string, splayMs: number): number {
  if (splayMs <= 0) return 0;
  let hash = 0x811c9dc5;
  for (let index = 0; index < ref.length; index += 1) {
    hash = Math.imul(hash ^ ref.charCodeAt(index), 0x01000193) >>> 0;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash = (hash ^ (hash >>> 16)) >>> 0;
  return Math.floor((hash / 2 ** 32) * splayMs);
}
