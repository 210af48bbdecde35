/** A person decides about a client that drifted, for the commands and for the page. The server is looked at first, in one list for each app. */
import { type ClientRef, unconfigured } from '../src/core/client.ts';
import type { ClientPolicy } from '../src/core/policy.ts';
import type { ClientRecord } from '../src/core/record.ts';
import type { Settling } from '../src/core/settling.ts';
import { andThen } from '../src/core/transition.ts';
import { appOf } from '../src/rotation/facts.ts';
import type { Resources } from '../src/rotation/resources.ts';
import { change, type Wake } from './by-hand.ts';
import { type Listed, type Missing, readListing } from './listing.ts';
import { takeSeen } from './start.ts';

/** What a list shows of a client. Undefined: the config does not name it. */
export type Shown = Listed | Missing | 'unreadable' | undefined;

/** @param record has just seen the server @throws RekeydError when this cannot be decided now */
export type Decide = (record: ClientRecord, policy: ClientPolicy, now: number) => Settling;

export interface Decided {
  /** Null: it is decided. */
  readonly error: string | null;
  readonly done: Settling['done'];
}

/** What servers show of these clients. Those that the config does not name are left out. @throws ApiError: a list that cannot be read is not an empty list */
export async function shownNow(
  resources: Resources,
  refs: readonly ClientRef[],
): Promise<ReadonlyMap<ClientRef, NonNullable<Shown>>> {
  const shown = new Map<ClientRef, NonNullable<Shown>>();
  const wanted = new Set(refs);
  const context = { resources, log: resources.log };
  for (const { id, apps } of resources.config.deployments) {
    for (const { slug } of apps) {
      const some = refs.filter((ref) => appOf(ref) === `${id}/${slug}`);
      if (some.length === 0) continue;
      const how = { wanted: (_: unknown, ref: ClientRef) => wanted.has(ref), urgent: true };
      const { clients, unreadable, readAt } = await readListing(context, id, slug, how);
      for (const ref of some)
        shown.set(ref, unreadable.has(ref) ? 'unreadable' : (clients.get(ref) ?? { client: null, readAt }));
    }
  }
  return shown;
}

/** @param wake has a worker do what the decision asks for */
export async function settle(
  resources: Resources,
  ref: ClientRef,
  shown: Shown,
  decide: Decide,
  wake: Wake,
): Promise<Decided> {
  if (shown === undefined) return { error: unconfigured(ref), done: null };
  if (shown === 'unreadable') return { error: UNREADABLE, done: null };
  let done: Settling['done'] = null;
  const error = await change(resources, ref, (record, policy, now) =>
    andThen(takeSeen(record, shown, policy), (seen) => {
      const settling = decide(seen, policy, now);
      done = settling.done;
      return settling;
    }),
  );
  if (error !== null) return { error, done: null };
  if (needsWork(done)) await wake(ref);
  return { error, done };
}

const UNREADABLE = 'the server shows it in a way that cannot be read: nothing was changed';

function needsWork(done: Settling['done']): boolean {
  return done === 'repairing' || done === 'restoring';
}
