/** The workers that are connected, and whether their clocks can be relied on. */
import type { Store } from '../../store/store.ts';
import type { WorkerView } from '../views.ts';

/** In s. An assertion with the time of a clock that is further off may be refused. */
const CLOCK_OFF_S = 5;

export function isClockOff({ clock_ahead_seconds: ahead }: Pick<WorkerView, 'clock_ahead_seconds'>): boolean {
  return ahead !== null && Math.abs(ahead) >= CLOCK_OFF_S;
}

/** Sorted by host, then by process. */
export async function workersOf(store: Pick<Store, 'present'>): Promise<readonly WorkerView[]> {
  const notes = [...(await store.present()).values()];
  return notes
    .map(({ host, pid, version, problem, clock, heardAt }) => ({
      ...{ host, pid, version, problem },
      clock_ahead_seconds: clock === undefined ? null : Math.round((clock - heardAt) / 100) / 10,
    }))
    .sort((a, b) => (a.host === b.host ? a.pid - b.pid : a.host < b.host ? -1 : 1));
}
