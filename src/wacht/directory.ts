/** Looking single clients up in an API that only lists whole apps. */
import { type ClientRef, splitReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { FRESH_MS } from '../core/server.ts';
import { later, monotonic } from '../time.ts';
import { ApiError } from './api-error.ts';
import type { WachtClient } from './client.ts';
import type { ClientList } from './observed.ts';

export interface ClientDirectory {
  /**
   * The client as a read shows it that started at or after `notBefore` (ms of {@link monotonic}); null when it is not in the list. When there
   * is no such read yet, it is one that starts after this call.
   * @throws ApiError when the read failed, or that client's row cannot be read: never taken for an empty list, or a client that is gone
   */
  observe(ref: ClientRef, notBefore: number): Promise<ObservedClient | null>;
}

interface ListRead {
  readonly startedAt: number;
  readonly answer: Promise<Pick<ClientList, 'unreadable'> & { readonly clients: ReadonlyMap<string, ObservedClient> }>;
}

interface AppReads {
  /** The latest read, under way or done; null once it failed, or is too old for anybody. */
  latest: ListRead | null;
  /** Everybody who came too late for the read under way shares this one. */
  next: Promise<ListRead> | null;
}

/** At most one list call per app is under way; a sweep of a thousand clients makes a handful. */
export function clientDirectory(
  client: Pick<WachtClient, 'listClients'>,
  { now = monotonic, keepMs = FRESH_MS }: { readonly now?: () => number; readonly keepMs?: number } = {},
): ClientDirectory {
  const apps = new Map<string, AppReads>();

  function startRead(app: string, reads: AppReads): ListRead {
    const read: ListRead = {
      startedAt: now(),
      answer: client.listClients(app).then(({ clients, unreadable }) => {
        return { clients: new Map(clients.map((found) => [found.id, found])), unreadable };
      }),
    };
    const forget = () => {
      if (reads.latest === read) reads.latest = null;
    };
    reads.latest = read;
    reads.next = null;
    // Kept for longer, the lists of a large fleet would fill the memory and serve nobody.
    read.answer.then(() => later(keepMs, forget), forget);
    return read;
  }

  function readAfter(notBefore: number, app: string, reads: AppReads): Promise<ListRead> | ListRead {
    const { latest } = reads;
    if (latest !== null && latest.startedAt >= notBefore) return latest;
    const ended = latest === null ? Promise.resolve() : latest.answer.then(ignore, ignore);
    reads.next ??= ended.then(() => startRead(app, reads));
    return reads.next;
  }

  return {
    async observe(ref, notBefore) {
      const { app, id } = splitReference(ref);
      const reads = apps.get(app) ?? { latest: null, next: null };
      apps.set(app, reads);
      const read = await readAfter(notBefore, app, reads);
      const { clients, unreadable } = await read.answer;
      const message = unreadable.get(id);
      if (message !== undefined) throw new ApiError(`Reading ${ref}`, { class: 'unknown', status: 200, message });
      return clients.get(id) ?? null;
    },
  };
}

function ignore(): void {}
