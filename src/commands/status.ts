import { policyFor } from '../config/model.ts';
import { parseReference } from '../core/client.ts';
import { dueAt, whyDue } from '../core/due.ts';
import { activeKey } from '../core/keys.ts';
import type { ClientRecord, ManagedKey, Retirement } from '../core/record.ts';
import { clientPolicy } from '../rotation/policy.ts';
import type { Resources } from '../rotation/resources.ts';
import type { Loaded } from '../store/records.ts';
import { type Globals, withResources } from './open.ts';
import { note, printJson } from './output.ts';
import type { ClientStatus, KeyStatus, RetirementStatus, RotationStatus, Status } from './status/model.ts';
import { printStatus } from './status/text.ts';

export interface StatusOptions {
  readonly json?: boolean;
}

export async function status(globals: Globals, named: readonly string[], { json }: StatusOptions): Promise<number> {
  const wanted = [...new Set(named.map(parseReference))];
  return withResources(globals, async (parts) => {
    const refs = wanted.length > 0 ? wanted : await parts.store.clientRefs();
    const [loaded, now, paused] = [
      await parts.store.loadMany(refs),
      await parts.store.now(),
      await parts.store.pausedDeployments(),
    ];
    const clients = refs.flatMap((ref) => {
      const held = loaded.get(ref);
      return held === undefined ? [] : [clientStatus(held, now, parts)];
    });
    const shown: Status = { clients, paused: [...paused].sort() };
    if (json) printJson(shown);
    else printStatus(shown, now, { details: wanted.length > 0 });
    const unknown = refs.filter((ref) => !loaded.has(ref));
    for (const ref of unknown) note(`${ref} is not known yet: \`rekeyd plan ${ref}\` shows what a rotation would do.`);
    return unknown.length === 0 ? 0 : 1;
  });
}

function clientStatus({ record }: Loaded, now: number, parts: Resources): ClientStatus {
  const policy = clientPolicy(parts, record.ref);
  const active = activeKey(record);
  return {
    client: record.ref,
    client_id: record.clientId,
    policy: policyFor(parts.config, record.ref)?.name ?? null,
    active: active === undefined ? null : { ...keyStatus(active), age_seconds: ageOf(active, now) },
    keys: record.keys.map(keyStatus),
    // A changed alg or format makes a client due at once, whatever its key's age.
    next_due: policy === null ? null : iso(dueAt(record, policy) || now),
    due: policy === null ? null : whyDue(record, policy, now),
    rotation: rotationStatus(record),
    retiring: record.retiring.map(retirementStatus),
    // Cleaning up after a failed rotation goes well; that the rotation failed stays worth knowing until the next one.
    last_error: record.lastError ?? record.history[0]?.error ?? null,
    halted: record.halted,
  };
}

function ageOf({ activatedAt, createdAt }: ManagedKey, now: number): number {
  return Math.max(0, Math.floor((now - (activatedAt ?? createdAt)) / 1000));
}

function keyStatus(key: ManagedKey): KeyStatus {
  const { kid, alg, state, createdAt, publishedAt, activatedAt, destroyedAt, proof } = key;
  return {
    kid,
    alg,
    state,
    created_at: new Date(createdAt).toISOString(),
    published_at: iso(publishedAt),
    activated_at: iso(activatedAt),
    destroyed_at: iso(destroyedAt),
    proof,
  };
}

function rotationStatus({ rotation, attempts }: ClientRecord): RotationStatus | null {
  if (rotation === null) return null;
  const { id, strategy, phase, startedAt, compromised, actor, reason } = rotation;
  return {
    id,
    strategy,
    phase: phase.name,
    kid: phase.name === 'requested' ? null : phase.kid,
    since: new Date(startedAt).toISOString(),
    attempts,
    compromised: compromised !== null,
    actor,
    reason,
  };
}

function retirementStatus(old: Retirement): RetirementStatus {
  const { kid, rotation } = old;
  if (old.kind === 'discard') return { kid, rotation, phase: 'discard', until: null };
  return { kid, rotation, phase: old.phase, until: iso(old.until) };
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
