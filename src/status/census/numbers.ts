/** The fleet as `/metrics` tells it. */

import type { ClientRef } from '../../core/client.ts';
import { DRIFT_KINDS, type DriftKind } from '../../core/drift.ts';
import { CLIENT_STATES, type ClientState } from '../../core/state.ts';
import {
  AGES,
  DUE_IN,
  type FleetNumbers,
  FOREMOST,
  MOST_NAMED,
  type OfClient,
  type Spread,
} from '../../metrics/fleet.ts';
import { sleep } from '../../time.ts';
import { keepForemost } from '../foremost.ts';
import type { Surroundings } from '../surroundings.ts';
import { type Known, statesAt } from './known.ts';

export type CensusNumbers = Pick<
  FleetNumbers,
  'states' | 'drifted' | 'compromised' | 'signersMissing' | 'ages' | 'dueIn'
>;

/** How many clients are counted before other work of the process may run. */
export const COUNTED_AT_ONCE = 10_000;

export async function numbersOf(known: ReadonlyMap<ClientRef, Known>, seen: Surroundings): Promise<CensusNumbers> {
  const { now } = seen;
  const stateOf = statesAt(seen);
  const states = Object.fromEntries(CLIENT_STATES.map((name) => [name, 0])) as Record<ClientState, number>; // one entry for each state
  const drifted = Object.fromEntries(DRIFT_KINDS.map((kind) => [kind, 0])) as Record<DriftKind, number>; // one entry for each kind
  const most = known.size > MOST_NAMED ? FOREMOST : MOST_NAMED;
  const ages = spreading(AGES, most, (a, b) => b - a);
  const dueIn = spreading(DUE_IN, most, (a, b) => a - b);
  let [compromised, signersMissing, counted] = [0, 0, 0];
  for (const [ref, client] of known) {
    states[stateOf(ref, client)] += 1;
    for (const kind of client.drift) drifted[kind] += 1;
    compromised += client.compromised ? 1 : 0;
    signersMissing += client.signersMissing ? 1 : 0;
    if (client.since !== null) ages.add(ref, Math.max(0, now - client.since) / 1000);
    // 0: due at once, whatever its age. Nobody knows since when.
    if (client.dueAt !== null) dueIn.add(ref, (client.dueAt === 0 ? 0 : client.dueAt - now) / 1000);
    counted += 1;
    if (counted % COUNTED_AT_ONCE === 0) await sleep(0);
  }
  return { states, drifted, compromised, signersMissing, ages: ages.spread(), dueIn: dueIn.spread() };
}

/** @param most so many clients are named @param order of seconds: those that matter most first */
function spreading(bounds: readonly number[], most: number, order: (a: number, b: number) => number) {
  const counts = bounds.map(() => 0);
  const named = keepForemost<OfClient>(most, (a, b) => order(a.seconds, b.seconds));
  let sum = 0;

  return {
    add(client: ClientRef, seconds: number): void {
      sum += seconds;
      const first = bounds.findIndex((bound) => seconds <= bound);
      if (first !== -1) counts[first] = (counts[first] ?? 0) + 1;
      named.offer({ client, seconds });
    },
    spread(): Spread {
      let below = 0;
      const cumulative = counts.map((count) => {
        below += count;
        return below;
      });
      return { counts: cumulative, total: named.offered, sum, named: named.list() };
    },
  };
}
