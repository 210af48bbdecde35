/** Looking single clients up where the API can only be asked for the whole list of an app. */
import { type ClientRef, splitReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { untilAborted } from '../time.ts';
import { ApiError } from './api-error.ts';
import type { WachtClient } from './client.ts';
import type { ClientList } from './observed.ts';

export interface Lists {
  /**
   * The client as a list shows it that was asked for after this call; null when it is not in the list.
   * @throws ApiError when the read failed, or that client's row cannot be read: never taken for an empty list, or a client that is gone
   */
  find(ref: ClientRef, signal?: AbortSignal): Promise<ObservedClient | null>;
}

interface Found extends Pick<ClientList, 'unreadable'> {
  readonly clients: ReadonlyMap<string, ObservedClient>;
}

interface Reads {
  current: Promise<Found> | null;
  /** Everybody who came too late for the read under way shares this one. */
  next: Promise<Found> | null;
}

/** At most one list call per app is under way; a thousand clients at once make two. Nothing is kept: lists of a large fleet would fill the memory. */
export function appLists(client: Pick<WachtClient, 'listClients'>): Lists {
  const apps = new Map<string, Reads>();

  async function read(app: string): Promise<Found> {
    const { clients, unreadable } = await client.listClients(app);
    return { clients: new Map(clients.map((found) => [found.id, found])), unreadable };
  }

  function start(app: string, reads: Reads): Promise<Found> {
    const started = read(app);
    reads.current = started;
    reads.next = null;
    const end = () => {
      if (reads.current === started) reads.current = null;
    };
    started.then(end, end);
    return started;
  }

  function readNext(app: string, reads: Reads): Promise<Found> {
    const { current } = reads;
    if (current === null) return start(app, reads);
    reads.next ??= current.then(ignore, ignore).then(() => start(app, reads));
    return reads.next;
  }

  return {
    async find(ref, signal) {
      const { app, id } = splitReference(ref);
      const reads = apps.get(app) ?? { current: null, next: null };
      apps.set(app, reads);
      // The read goes on: others may share it.
      const { clients, unreadable } = await untilAborted(readNext(app, reads), signal);
      const message = unreadable.get(id);
      if (message !== undefined) throw new ApiError(`Reading ${ref}`, { class: 'unknown', status: 200, message });
      return clients.get(id) ?? null;
    },
  };
}

function ignore(): void {}
