/** Goes through a fleet page by page: counts all clients, and keeps of them what is listed. Memory does not grow with clients that are only counted. */

import { policyFor } from '../../config/lookup.ts';
import type { ClientRef } from '../../core/client.ts';
import type { RotationSummary } from '../../core/history.ts';
import type { ClientRecord } from '../../core/record.ts';
import { type ClientState, urgencyOf } from '../../core/state.ts';
import { inParallel, PAGE, pagesOf } from '../../parallel.ts';
import type { Resources } from '../../rotation/resources.ts';
import { openKnowing } from '../../status/census/known.ts';
import { type Counts, openTally } from '../../status/census/tally.ts';
import { namedStatus } from '../../status/client/named.ts';
import { heardNow, MOST_HEARD } from '../../status/client/signers.ts';
import { clientStatus } from '../../status/client/status.ts';
import { keepForemost } from '../../status/foremost.ts';
import type { ClientStatus } from '../../status/model.ts';
import type { Surroundings } from '../../status/surroundings.ts';
import type { Select } from '../select.ts';

/** Which clients are counted, and which of those are listed. */
export interface Filter {
  /** Null: every client that is known. */
  readonly select: Select | null;
  /** Only clients in this state are listed; null: all. */
  readonly state: ClientState | null;
  /** At most so many are listed. */
  readonly limit: number;
}

export interface Survey {
  /** How many clients have the wanted state, whether or not they are listed. */
  readonly wanted: number;
  /** How many of these use a key that was reported as compromised. */
  readonly compromised: number;
  /** How many of these show what rekeyd did not publish. */
  readonly drifted: number;
  /** How many of all found clients are offered a key of ours. */
  readonly offered: number;
  /** All clients that were chosen, counted. */
  readonly tally: Counts;
  /** Clients that were named, and that the store does not know. */
  readonly unknown: readonly ClientRef[];
  /** Those that are listed, in pages: the ones that need a person first. Read again where they are too many to be held. */
  pages(): AsyncIterable<readonly ClientStatus[]>;
}

interface Listed {
  readonly ref: ClientRef;
  readonly rank: number;
  /** Null: it is read again when it is shown. */
  status: ClientStatus | null;
}

/** @param mostHeld so many are held as they were counted, so that what is shown of a small fleet is of one moment; more are read again */
export async function survey(
  filter: Filter,
  seen: Surroundings,
  resources: Resources,
  mostHeld = MOST_HEARD,
): Promise<Survey> {
  const { select, state, limit } = filter;
  const listed = keepForemost<Listed>(limit, (a, b) => a.rank - b.rank || (a.ref < b.ref ? -1 : 1));
  const unknown: ClientRef[] = [];
  const isHeard = (await countOf(select, resources)) <= MOST_HEARD;
  let [compromised, drifted, offered] = [0, 0, 0];
  let areHeld = true;
  const isNamed = select !== null && 'clients' in select;
  const [tally, toKnown] = [openTally(seen), openKnowing()];
  for await (const refs of refPages(select, resources)) {
    const page = await statusesOf(refs, isHeard, seen, resources, isNamed);
    unknown.push(...refs.filter((ref) => !page.has(ref)));
    for (const [ref, { status, record }] of page) {
      tally.add(ref, toKnown(record, seen.now, resources));
      offered += status.state === 'found' && status.rotation !== null ? 1 : 0;
      if (state !== null && status.state !== state) continue;
      compromised += status.compromised ? 1 : 0;
      drifted += status.drift === null ? 0 : 1;
      listed.offer({ ref, rank: urgencyOf(status), status: areHeld ? status : null });
    }
    if (areHeld && Math.min(limit, listed.offered) > mostHeld) {
      areHeld = false;
      for (const one of listed.list()) one.status = null;
    }
  }
  return {
    wanted: listed.offered,
    compromised,
    drifted,
    offered,
    tally: tally.counts(),
    unknown: isNamed ? unknown : [],
    async *pages() {
      for (const page of pagesOf(listed.list())) {
        const missing = page.filter(({ status }) => status === null).map(({ ref }) => ref);
        const read = await statusesOf(missing, isHeard, seen, resources, isNamed);
        const shown = page.flatMap(({ ref, status }) => status ?? read.get(ref)?.status ?? []);
        // Meanwhile one may have come to another state.
        yield shown.filter((status) => state === null || status.state === state);
      }
    },
  };
}

/** Without the clients that are not known. */
async function statusesOf(
  refs: readonly ClientRef[],
  isHeard: boolean,
  seen: Surroundings,
  resources: Resources,
  isNamed: boolean,
): Promise<ReadonlyMap<ClientRef, { readonly status: ClientStatus; readonly record: ClientRecord }>> {
  const stored = new Map([...(await resources.store.loadMany(refs))].map(([ref, { record }]) => [ref, record]));
  const records = isHeard ? await heardNow(stored, seen.now, resources) : stored;
  const histories = isNamed ? await historiesOf([...records.keys()], resources) : null;
  return new Map(
    [...records].map(([ref, record]) => {
      const history = histories?.get(ref);
      const status =
        history === undefined
          ? clientStatus(record, seen, resources)
          : namedStatus({ record, history, seen }, resources);
      return [ref, { status, record }];
    }),
  );
}

async function historiesOf(
  refs: readonly ClientRef[],
  { store }: Resources,
): Promise<ReadonlyMap<ClientRef, readonly RotationSummary[]>> {
  const found = new Map<ClientRef, readonly RotationSummary[]>();
  await inParallel(refs, LANES, async (ref) => {
    found.set(ref, await store.history(ref));
  });
  return found;
}

/** How many clients' histories are read at the same time. */
const LANES = 16;

/** How many clients have to be looked at. */
async function countOf(select: Select | null, { store }: Resources): Promise<number> {
  if (select !== null && 'clients' in select) return select.clients.length;
  return select !== null && 'app' in select ? store.appCount(select.app) : store.clientCount();
}

/** The clients that were chosen, page by page; null: all. */
export async function* refPages(
  select: Select | null,
  { store, config }: Resources,
): AsyncGenerator<readonly ClientRef[], void, undefined> {
  if (select !== null && 'clients' in select) return yield* pagesOf(select.clients);
  const apps = select !== null && 'app' in select ? [select.app] : await store.apps();
  for (const app of apps) {
    let last: ClientRef | null = null;
    do {
      const page: readonly ClientRef[] = await store.appRefs(app, PAGE, last);
      last = page.at(-1) ?? null;
      yield select !== null && 'policy' in select
        ? page.filter((ref) => policyFor(config, ref)?.name === select.policy)
        : page;
    } while (last !== null);
  }
}
