/** What the servers list: read once per app, and handed on in pages, so that neither the store nor the event loop gets a whole fleet at a time. */
import { type ClientRef, makeReference } from '../src/core/client.ts';
import type { ObservedClient } from '../src/core/document.ts';
import type { JobContext } from './context.ts';

/** A client as the server listed it at `readAt`, ms on the store's clock: what was seen later stands. */
export interface Listed {
  readonly client: ObservedClient;
  readonly readAt: number;
}

/** A client that the list did not have. */
export interface Missing {
  readonly client: null;
  readonly readAt: number;
}

export interface Listing {
  readonly readAt: number;
  /** Without those whose row cannot be read. */
  readonly clients: ReadonlyMap<ClientRef, Listed>;
  /** They are there, and nothing more is known of them. */
  readonly unreadable: ReadonlySet<string>;
}

/** Clients of a list, or of an index, that are looked at together. */
export const PAGE = 1_000;

/** How many of the rows that cannot be read are named in the log. */
const NAMED = 10;

/** The clients of one app as the server lists them now. @throws ApiError: a list that cannot be read is not an empty list */
export async function readListing({ parts, log }: JobContext, deployment: string, app: string): Promise<Listing> {
  const readAt = await parts.store.now();
  const list = await parts.deployments.get(deployment)?.wacht.listClients(app);
  const { clients = [], unreadable = new Map<string, string>() } = list ?? {};
  if (unreadable.size > 0) {
    const rows = [...unreadable].slice(0, NAMED).map(([id, problem]) => ({ id, problem }));
    const message = 'some clients are shown in a way that cannot be read: they are left alone';
    log.warn({ deployment, app, count: unreadable.size, rows }, message);
  }
  return {
    readAt,
    clients: new Map(clients.map((client) => [makeReference(deployment, app, client.id), { client, readAt }])),
    unreadable: new Set([...unreadable.keys()].map((id) => `${deployment}/${app}/${id}`)),
  };
}

export function* pagesOf<T>(items: Iterable<T>): Generator<readonly T[]> {
  let page: T[] = [];
  for (const item of items) {
    page.push(item);
    if (page.length < PAGE) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}
