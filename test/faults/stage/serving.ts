/** A testbed whose workers serve the HTTP API, each on a machine and a port of its own. */
import { freePort } from '../../support/ports.ts';
import type { Chance } from '../random.ts';
import { lateWrites } from '../scenarios/random.ts';
import type { FleetSetting } from './apps.ts';
import type { FaultClient } from './fleet.ts';
import type { Crew } from './pool.ts';
import { openStage, type Stage } from './stage.ts';
import type { Place } from './testbed.ts';

export interface Served extends Stage {
  readonly ports: readonly number[];
}

export async function openServed(place: Place, fleet: FleetSetting, workers: number, dice?: Chance): Promise<Served> {
  const ports = new Set<number>();
  while (ports.size < workers) ports.add(await freePort());
  const stage = await openStage(place, {
    everysec: dice !== undefined && lateWrites(dice),
    fleet: { ...fleet, ports: [...ports] },
  });
  return { ...stage, ports: [...ports] };
}

export function servingCrew({ ports }: Served): Crew {
  return { size: ports.length, machines: ports.length, http: true };
}

/** Whose keys may be rotated without a word to their applications. */
export function enrolled({ clients }: Pick<Served, 'clients'>): readonly FaultClient[] {
  return clients.filter(({ enrolment }) => enrolment === 'enrolled');
}
