/** Clients of a fleet, counted for people. */

import type { ClientRef } from '../../core/client.ts';
import { CLIENT_STATES, type ClientState } from '../../core/state.ts';
import { sleep } from '../../time.ts';
import type { Surroundings } from '../surroundings.ts';
import type { FleetView } from '../views.ts';
import type { Clients } from './census.ts';
import { type Group, type Known, statesAt } from './known.ts';
import { COUNTED_AT_ONCE } from './numbers.ts';

export interface Counts
  extends Pick<FleetView, 'clients' | 'counts' | 'compromised' | 'drifted' | 'signers_missing' | 'due'> {
  /** `eligible`: clients that keys can be rotated for. */
  readonly groups: ReadonlyMap<Group, { readonly clients: number; readonly eligible: number }>;
}

export interface Tally {
  add(ref: ClientRef, client: Known): void;
  counts(): Counts;
}

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;

export function openTally(seen: Surroundings): Tally {
  const stateOf = statesAt(seen);
  const counts = Object.fromEntries(CLIENT_STATES.map((name) => [name, 0])) as Record<ClientState, number>; // one entry for each state
  const groups = new Map<Group, { clients: number; eligible: number }>();
  const due = { now: 0, day: 0, week: 0 };
  let [clients, compromised, drifted, missing] = [0, 0, 0, 0];

  function addDue(at: number): void {
    if (at <= seen.now) due.now += 1;
    if (at <= seen.now + DAY_MS) due.day += 1;
    if (at <= seen.now + WEEK_MS) due.week += 1;
  }

  return {
    add(ref, client) {
      clients += 1;
      counts[stateOf(ref, client)] += 1;
      compromised += client.compromised ? 1 : 0;
      drifted += client.drift.length > 0 ? 1 : 0;
      missing += client.signersMissing ? 1 : 0;
      // A client that is being rotated is no longer due, and a halted one waits for a person.
      if (client.dueAt !== null && client.is !== 'rotating' && client.is !== 'halted') addDue(client.dueAt);
      const group = groups.get(client.group) ?? { clients: 0, eligible: 0 };
      group.clients += 1;
      group.eligible += client.isEligible ? 1 : 0;
      groups.set(client.group, group);
    },
    counts: () => ({ clients, counts, compromised, drifted, signers_missing: missing, due, groups }),
  };
}

/** Goes through all clients, and lets other work of the process run in between. */
export async function countsOf(known: Clients, seen: Surroundings): Promise<Counts> {
  const tally = openTally(seen);
  let counted = 0;
  for (const [ref, client] of known) {
    tally.add(ref, client);
    counted += 1;
    if (counted % COUNTED_AT_ONCE === 0) await sleep(0);
  }
  return tally.counts();
}
