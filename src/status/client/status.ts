/** Records as `rekeyd status` shows them. */
import { policyFor } from '../../config/lookup.ts';
import { offeredUntil } from '../../core/adoption.ts';
import { splitReference } from '../../core/client.ts';
import { kindsOf } from '../../core/drift.ts';
import { dueAt, isOverdue, isScheduled, whyDue } from '../../core/due.ts';
import { activeKey, type FormerKey, findKey, type ManagedKey, usesReportedKey } from '../../core/keys.ts';
import { pauseOf } from '../../core/pause.ts';
import type { ClientPolicy } from '../../core/policy.ts';
import type { ClientRecord } from '../../core/record.ts';
import type { Retirement } from '../../core/retirement.ts';
import { incomingKid } from '../../core/rotation.ts';
import { clientState, lastError } from '../../core/state.ts';
import { clientPolicy } from '../../rotation/policy.ts';
import type { Resources } from '../../rotation/resources.ts';
import type { ClientStatus, DriftStatus, KeyStatus, RetirementStatus, RotationStatus } from '../model.ts';
import { holdOf, pauseStatus, type Surroundings } from '../surroundings.ts';
import { signersStatus, waitStatus } from './signers.ts';

export function clientStatus(
  record: ClientRecord,
  seen: Surroundings,
  { config, folder, facts }: Resources,
): ClientStatus {
  const { now } = seen;
  const { ref } = record;
  const policy = clientPolicy({ config, folder, facts }, ref);
  const name = policyFor(config, ref)?.name ?? null;
  const pause = pauseOf(seen.pauses, ref, name);
  const active = activeKey(record);
  // A reported key that is still in use is among both.
  const past = record.former.filter(({ kid }) => findKey(record, kid) === undefined);
  const isRotated = policy !== null && isScheduled(record, policy);
  return {
    client: ref,
    client_id: record.clientId,
    policy: name,
    enrolment: record.enrolment,
    state: clientState(record, policy, now, {
      ...holdOf(splitReference(ref).deployment, seen),
      suspended: pause !== null,
    }),
    overdue: policy !== null && isOverdue(record, policy, now),
    paused: pause === null ? null : pauseStatus(pause),
    compromised: usesReportedKey(record),
    active: active === undefined ? null : { ...keyStatus(active), age_seconds: ageOf(active, now) },
    keys: [...past.map(formerStatus), ...record.keys.map(keyStatus)],
    // A changed alg or format makes a client due at once, whatever its key's age.
    next_due: isRotated ? iso(dueAt(record, policy) || now) : null,
    due: policy === null ? null : whyDue(record, policy, now),
    rotation: rotationStatus(record, policy),
    retiring: record.retirements.map(retirementStatus),
    signers: signersStatus(record, now),
    waiting: waitStatus(record, policy, now),
    drift: driftStatus(record),
    last_error: lastError(record),
    halted: record.halted,
  };
}

function ageOf({ activatedAt, createdAt }: ManagedKey, now: number): number {
  return Math.max(0, Math.floor((now - (activatedAt ?? createdAt)) / 1000));
}

function keyStatus({ kid, alg, state, createdAt, publishedAt, activatedAt, proof }: ManagedKey): KeyStatus {
  return {
    kid,
    alg,
    state,
    created_at: iso(createdAt),
    published_at: iso(publishedAt),
    activated_at: iso(activatedAt),
    destroyed_at: null,
    proof,
  };
}

/** A compromised foreign key was never ours to destroy: it is off the server. */
function formerStatus({ kid, at, compromised }: FormerKey): KeyStatus {
  const state = compromised ? ('compromised' as const) : ('destroyed' as const);
  const times = { created_at: null, published_at: null, activated_at: null, destroyed_at: iso(at) };
  return { kid, alg: null, state, ...times, proof: null };
}

function driftStatus({ drift }: ClientRecord): DriftStatus | null {
  if (drift === undefined) return null;
  return { since: iso(drift.since), what: kindsOf(drift), differences: drift.what.map(({ text }) => text) };
}

function rotationStatus(record: ClientRecord, policy: ClientPolicy | null): RotationStatus | null {
  const { rotation } = record;
  if (rotation === null) return null;
  const { id, strategy, phase, startedAt, compromised, rollsBack, actor, reason, tries } = rotation;
  return {
    id,
    strategy,
    phase: phase.name,
    kid: incomingKid(rotation),
    offered_until: iso(policy === null ? null : offeredUntil(record, policy)),
    since: new Date(startedAt).toISOString(),
    rollback: rollsBack !== undefined,
    attempts: tries.failed,
    next_try: tries.failed === 0 ? null : iso(tries.notBefore),
    error: tries.error,
    compromised: compromised !== null,
    actor,
    reason,
  };
}

function retirementStatus({ kid, role, phase, until, rotation, tries }: Retirement): RetirementStatus {
  return { kid, rotation: rotation.id, role, phase, until: iso(until), attempts: tries.failed, error: tries.error };
}

function iso(ms: number): string;
function iso(ms: number | null): string | null;
function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
