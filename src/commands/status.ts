import { policyFor } from '../config/model.ts';
import { type ClientRef, parseReference, splitReference } from '../core/client.ts';
import { dueAt, isScheduled, whyDue } from '../core/due.ts';
import { activeKey, type FormerKey, findKey, type ManagedKey, usesReportedKey } from '../core/keys.ts';
import type { ClientRecord } from '../core/record.ts';
import type { Retirement } from '../core/retirement.ts';
import { incomingKid } from '../core/rotation.ts';
import { CLIENT_STATES, clientState, lastError } from '../core/state.ts';
import { knownOtherwise } from '../rotation/naming.ts';
import { clientPolicy } from '../rotation/policy.ts';
import type { Resources } from '../rotation/resources.ts';
import type { DeploymentState } from '../store/deployments.ts';
import { type Globals, withResources } from './open.ts';
import { note, printJson } from './output.ts';
import type {
  ClientStatus,
  DeploymentStatus,
  KeyStatus,
  RetirementStatus,
  RotationStatus,
  Status,
} from './status/model.ts';
import { printStatus } from './status/text.ts';

export interface StatusOptions {
  readonly json?: boolean;
}

export async function status(globals: Globals, named: readonly string[], { json }: StatusOptions): Promise<number> {
  const wanted = [...new Set(named.map(parseReference))];
  return withResources(globals, async (resources) => {
    const { store, config } = resources;
    const refs = wanted.length > 0 ? wanted : await store.clientRefs();
    const [loaded, now, deployments] = await Promise.all([
      store.loadMany(refs),
      store.now(),
      store.deploymentStates(config.deployments.map(({ id }) => id)),
    ]);
    const clients = refs.flatMap((ref) => {
      const known = loaded.get(ref);
      return known === undefined ? [] : [clientStatus(known.record, now, deployments, resources)];
    });
    const shown: Status = {
      counts: countsOf(clients),
      clients,
      deployments: [...deployments].map(([id, state]) => deploymentStatus(id, state)),
    };
    if (json) printJson(shown);
    else printStatus(shown, now, { details: wanted.length > 0 });
    const unknown = refs.filter((ref) => !loaded.has(ref));
    for (const ref of unknown)
      note((await knownOtherwise(store, ref)) ?? `${ref} is not known. \`rekeyd plan ${ref}\` asks the API for it.`);
    return unknown.length === 0 ? 0 : 1;
  });
}

function countsOf(clients: readonly ClientStatus[]): Status['counts'] {
  const counts = CLIENT_STATES.map(
    (state) => [state, clients.filter((client) => client.state === state).length] as const,
  );
  return Object.fromEntries(counts) as Status['counts']; // one entry for each state
}

function deploymentStatus(deployment: string, { paused, throttledUntil }: DeploymentState): DeploymentStatus {
  return { deployment, paused, throttled_until: iso(throttledUntil) };
}

function clientStatus(
  record: ClientRecord,
  now: number,
  deployments: ReadonlyMap<string, DeploymentState>,
  { config, folder, facts }: Resources,
): ClientStatus {
  const { ref } = record;
  const policy = clientPolicy({ config, folder, facts }, ref);
  const active = activeKey(record);
  // A reported key that is still in use is among both.
  const past = record.former.filter(({ kid }) => findKey(record, kid) === undefined);
  const isRotated = policy !== null && isScheduled(record, policy);
  return {
    client: ref,
    client_id: record.clientId,
    policy: policyFor(config, ref)?.name ?? null,
    enrolment: record.enrolment,
    state: clientState(record, policy, now, holdOf(ref, deployments)),
    compromised: usesReportedKey(record),
    active: active === undefined ? null : { ...keyStatus(active), age_seconds: ageOf(active, now) },
    keys: [...past.map(formerStatus), ...record.keys.map(keyStatus)],
    // A changed alg or format makes a client due at once, whatever its key's age.
    next_due: isRotated ? iso(dueAt(record, policy) || now) : null,
    due: policy === null ? null : whyDue(record, policy, now),
    rotation: rotationStatus(record),
    retiring: record.retirements.map(retirementStatus),
    last_error: lastError(record),
    halted: record.halted,
  };
}

function holdOf(ref: ClientRef, deployments: ReadonlyMap<string, DeploymentState>) {
  const state = deployments.get(splitReference(ref).deployment);
  return { paused: state?.paused != null, throttled: state?.throttledUntil != null };
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

function rotationStatus({ rotation }: ClientRecord): RotationStatus | null {
  if (rotation === null) return null;
  const { id, strategy, phase, startedAt, compromised, actor, reason, tries } = rotation;
  return {
    id,
    strategy,
    phase: phase.name,
    kid: incomingKid(rotation),
    since: new Date(startedAt).toISOString(),
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
