/** What is kept in memory of each client of a fleet: enough to count, to find and to order 100,000 of them without their records. */

import { policyFor } from '../../config/lookup.ts';
import { type ClientRef, splitReference } from '../../core/client.ts';
import { type DriftKind, kindsOf } from '../../core/drift.ts';
import { isEligible } from '../../core/due.ts';
import { scopeName } from '../../core/pause.ts';
import type { ClientRecord } from '../../core/record.ts';
import { type ClientState, type Hold, type Standing, standingOf, stateOf } from '../../core/state.ts';
import { clientPolicy } from '../../rotation/policy.ts';
import type { Resources } from '../../rotation/resources.ts';
import { signersStatus } from '../client/signers.ts';
import { holdOf, type Surroundings } from '../surroundings.ts';
import type { ClientCondition } from '../views.ts';

/** Where a client belongs: one object for all clients of an app under the same policy. */
export interface Group {
  readonly deployment: string;
  /** `deployment/slug` */
  readonly app: string;
  /** Null: the config no longer takes care of them. */
  readonly policy: string | null;
}

export interface Known extends Standing {
  readonly group: Group;
  /** The OAuth `client_id`. */
  readonly clientId: string;
  /** Keys can be rotated for it: it is active, and signs in with a key. */
  readonly isEligible: boolean;
  readonly signersMissing: boolean;
  readonly drift: readonly DriftKind[];
}

export type ToKnown = (record: ClientRecord, now: number, resources: Resources) => Known;

const NO_DRIFT: readonly DriftKind[] = [];

/** @returns a function that makes a {@link Known} of a record. All that it makes share their groups: use one for one fleet. */
export function openKnowing(): ToKnown {
  const groups = new Map<string, Group>();

  function groupOf(ref: ClientRef, policy: string | null): Group {
    const { deployment, app: slug } = splitReference(ref);
    const name = `${deployment}/${slug} ${policy ?? ''}`;
    const group = groups.get(name) ?? { deployment, app: `${deployment}/${slug}`, policy };
    groups.set(name, group);
    return group;
  }

  return (record, now, resources) => {
    const { ref, clientId, drift, server } = record;
    const { is, since, dueAt, overdueFrom, compromised } = standingOf(record, clientPolicy(resources, ref));
    return {
      ...{ is, since, dueAt, overdueFrom, compromised },
      group: groupOf(ref, policyFor(resources.config, ref)?.name ?? null),
      clientId,
      isEligible: isEligible(server.observed.client),
      signersMissing: isHeldUp(record, now),
      drift: drift === undefined ? NO_DRIFT : kindsOf(drift),
    };
  };
}

/** A signer does not report the new key, or still signs with the old key after `ready_timeout`. */
function isHeldUp(record: ClientRecord, now: number): boolean {
  const missing = record.rotation === null ? [] : (signersStatus(record, now)?.missing ?? []);
  return missing.length > 0 || record.retirements.some(({ delayed }) => delayed);
}

/** Whether a client is among those that a list with this condition has. */
export function meets(condition: ClientCondition, ref: ClientRef, client: Known, { pauses }: Surroundings): boolean {
  switch (condition) {
    case 'compromised':
      return client.compromised;
    case 'drifted':
      return client.drift.length > 0;
    case 'signers':
      return client.signersMissing;
    case 'paused':
      return pauses.has(scopeName({ client: ref }));
    default:
      return condition satisfies never;
  }
}

export type TellState = (ref: ClientRef, client: Known) => ClientState;

/** The states of many clients at one moment. Deployments and wide pauses are looked up once for each group. */
export function statesAt(seen: Surroundings): TellState {
  const { now, pauses } = seen;
  const holds = new Map<Group, Hold>();
  const paused = new Set([...pauses.values()].flatMap(({ scope }) => ('client' in scope ? [scope.client] : [])));
  const wide = [...pauses.values()].map(({ scope }) => scope);

  function holdIn(group: Group): Hold {
    const suspended = wide.some(
      (scope) =>
        'all' in scope ||
        ('app' in scope && scope.app === group.app) ||
        ('policy' in scope && scope.policy === group.policy),
    );
    const hold = { ...holdOf(group.deployment, seen), suspended };
    holds.set(group, hold);
    return hold;
  }

  return (ref, client) => {
    const hold = holds.get(client.group) ?? holdIn(client.group);
    return stateOf(client, now, paused.has(ref) ? { ...hold, suspended: true } : hold);
  };
}
