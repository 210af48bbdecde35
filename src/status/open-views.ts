/** Reads what the page and `rekeyd status --watch` show. */

import type { Resources } from '../rotation/resources.ts';
import type { Census } from './census/census.ts';
import { countsOf } from './census/tally.ts';
import { clientView } from './client/view.ts';
import { clientList } from './clients/list.ts';
import { aroundOf } from './fleet/fleet.ts';
import type { PutOffRequests } from './model.ts';
import { shared } from './sharing.ts';
import { surroundingsOf } from './surroundings.ts';
import type { FleetView, Views } from './views.ts';

/** Of the config in force. */
export interface ViewParts {
  readonly resources: Resources;
  requests(): Promise<PutOffRequests>;
}

/** @param census of the same config and store */
export function openViews(current: () => ViewParts, census: Pick<Census, 'look'>): Views {
  async function fleet(): Promise<FleetView> {
    const { known, reading } = await census.look();
    const { resources, requests } = current();
    const seen = await surroundingsOf(resources);
    const { groups, ...counts } = await countsOf(known, seen);
    const at = new Date(seen.now).toISOString();
    return { at, reading, ...counts, ...(await aroundOf(resources, seen, { groups }, requests)) };
  }

  return {
    // It goes through all clients, and each open page asks for it when something changes.
    fleet: shared(fleet),
    async clients(query) {
      return clientList(query, await census.look(), current().resources);
    },
    client: (ref) => clientView(ref, current().resources),
  };
}
