/** Looking single clients up in an API that only lists whole apps. */
import { type ClientRef, splitReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { monotonic } from '../time.ts';
import type { WachtClient } from './client.ts';

export interface ClientDirectory {
  /**
   * The client as a read shows it that started at or after `notBefore` (ms of {@link monotonic}); null when it is not in the list. When there
   * is no such read yet, it is one that starts after this call.
   * @throws ApiError when the read failed: never taken for an empty list
   */
  observe(ref: ClientRef, notBefore: number): Promise<ObservedClient | null>;
}

interface ListRead {
  readonly startedAt: number;
  readonly clients: Promise<ReadonlyMap<string, ObservedClient>>;
}

interface AppReads {
  /** The latest read, under way or done; null once it failed. */
  latest: ListRead | null;
  /** Everybody who came too late for the read under way shares this one. */
  next: Promise<ListRead> | null;
}

/** At most one list call per app is under way; a sweep of a thousand clients makes a handful. */
export function clientDirectory(
  client: Pick<WachtClient, 'listClients'>,
  { now = monotonic }: { readonly now?: () => number } = {},
): ClientDirectory {
  const apps = new Map<string, AppReads>();

  function startRead(app: string, reads: AppReads): ListRead {
    const read: ListRead = {
      startedAt: now(),
      clients: client.listClients(app).then((list) => new Map(list.map((found) => [found.id, found]))),
    };
    reads.latest = read;
    reads.next = null;
    read.clients.catch(() => {
      if (reads.latest === read) reads.latest = null;
    });
    return read;
  }

  function readAfter(notBefore: number, app: string, reads: AppReads): Promise<ListRead> | ListRead {
    const { latest } = reads;
    if (latest !== null && latest.startedAt >= notBefore) return latest;
    const ended = latest === null ? Promise.resolve() : latest.clients.then(ignore, ignore);
    reads.next ??= ended.then(() => startRead(app, reads));
    return reads.next;
  }

  return {
    async observe(ref, notBefore) {
      const { app, id } = splitReference(ref);
      const reads = apps.get(app) ?? { latest: null, next: null };
      apps.set(app, reads);
      const read = await readAfter(notBefore, app, reads);
      return (await read.clients).get(id) ?? null;
    },
  };
}

function ignore(): void {}
