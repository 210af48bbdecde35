/** What the servers list, one app at a time, and only as much of it as somebody needs: a fleet may have 100,000 clients. */
import { type ClientRef, makeReference } from '../src/core/client.ts';
import type { ObservedClient } from '../src/core/document.ts';
import { turnForList } from '../src/rotation/deployment.ts';
import { monotonic } from '../src/time.ts';
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
  /** Those that are wanted, without those that have a row that cannot be read. */
  readonly clients: ReadonlyMap<ClientRef, Listed>;
  /** They are there, and nothing more is known of them. */
  readonly unreadable: ReadonlySet<string>;
}

/** How many of the rows that cannot be read are named in the log. */
const NAMED = 10;

/** Which of these clients are wanted; `seen` is what {@link Indexes.seen} says of each. */
export type Wanted = (client: ObservedClient, ref: ClientRef, seen: string | null) => boolean;

/**
 * The clients of one app as the server lists them now.
 * @param how `wanted`: only those, so that of a large app no more is held than somebody has work with. `urgent`: see {@link turnForList}
 * @throws ApiError: a list that cannot be read is not an empty list
 */
export async function readListing(
  { resources, log }: Pick<JobContext, 'resources' | 'log'>,
  deployment: string,
  app: string,
  { wanted, urgent = false }: { readonly wanted?: Wanted; readonly urgent?: boolean },
): Promise<Listing> {
  const readAt = await resources.store.now();
  const refOf = ({ id }: ObservedClient) => makeReference(deployment, app, id);
  const pick = async (some: readonly ObservedClient[], isWanted: Wanted) => {
    const refs = some.map(refOf);
    const seen = await resources.store.seen(refs);
    return some.filter((client, index) => isWanted(client, refs[index] ?? refOf(client), seen[index] ?? null));
  };
  const keep = wanted === undefined ? undefined : (some: readonly ObservedClient[]) => pick(some, wanted);
  const found = resources.deployments.get(deployment);
  if (found === undefined) throw new Error(`the config has no deployment ${deployment}`);
  await turnForList(resources, found, urgent);
  const startedAt = monotonic();
  const { clients, unreadable } = await found.wacht
    .listClients(app, keep)
    // Also when it fails: one that always does is not read all the time.
    .finally(() => resources.store.noteList(deployment, app, monotonic() - startedAt));
  if (unreadable.size > 0) {
    const rows = [...unreadable].slice(0, NAMED).map(([id, problem]) => ({ id, problem }));
    const message = 'some clients are shown in a way that cannot be read: they are left alone';
    log.warn({ deployment, app, count: unreadable.size, rows }, message);
  }
  return {
    readAt,
    clients: new Map(clients.map((client) => [refOf(client), { client, readAt }])),
    unreadable: new Set([...unreadable.keys()].map((id) => `${deployment}/${app}/${id}`)),
  };
}

/**
 * The same for what is read all the time: null while the app rests. A list of a large app costs so much, on both sides, that it is read for no more than
 * a fiftieth of the time.
 */
export async function readNowAndThen(
  context: JobContext,
  deployment: string,
  app: string,
  wanted: Wanted,
): Promise<Listing | null> {
  if ((await context.resources.store.listRest(deployment, app)) > 0) return null;
  return readListing(context, deployment, app, { wanted });
}
