/** What happened in the store and what arrived at the API, in one order. */
import type { LogEntry } from '../../emulator/log.ts';
import type { Evidence } from '../evidence/evidence.ts';
import type { Event } from '../evidence/history.ts';
import type { FaultClient } from '../stage/fleet.ts';
import { SAME_MS } from './clocks.ts';
import { carriesKeys } from './keys.ts';

export type Moment = { readonly at: number } & ({ readonly event: Event } | { readonly request: LogEntry });

/** All events, and the requests about this client that carry keys. One that arrived with an event came after it: it is announced in the store first. */
export function momentsOf({ id }: FaultClient, { events, requests }: Evidence): readonly Moment[] {
  const moments: Moment[] = [
    ...events.map((event) => ({ at: event.at, event })),
    ...requests
      .filter((request) => request.client === id && carriesKeys(request))
      .map((request) => ({ at: request.at + SAME_MS, request })),
  ];
  return moments.sort((a, b) => a.at - b.at);
}
