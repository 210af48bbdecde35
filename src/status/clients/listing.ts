/** Finds and orders clients in the census, without reading a record. */

import type { ClientRef } from '../../core/client.ts';
import { urgencyOf } from '../../core/state.ts';
import { sleep } from '../../time.ts';
import type { Clients } from '../census/census.ts';
import { type Known, meets, statesAt, type TellState } from '../census/known.ts';
import { COUNTED_AT_ONCE } from '../census/numbers.ts';
import { keepForemost } from '../foremost.ts';
import type { Surroundings } from '../surroundings.ts';
import type { ClientOrder, ClientQuery } from '../views.ts';
import { type Cursor, readCursor, writeCursor } from './cursor.ts';

export interface Page {
  readonly refs: readonly ClientRef[];
  readonly next: string | null;
  readonly matching: number;
}

/** The value of a client without a key, or that no schedule rotates: it comes last. */
const NEVER = Number.MAX_SAFE_INTEGER;

type Place = Pick<Cursor, 'value' | 'ref'>;

/**
 * One page. A client that changes its place between two pages may be missed or listed twice; every other client is listed once.
 * @param named clients that have a key of the name `query.text`
 * @throws RekeydError `usage` when `query.after` is no cursor
 */
export async function listed(
  known: Clients,
  query: ClientQuery,
  named: ReadonlySet<ClientRef>,
  seen: Surroundings,
): Promise<Page> {
  const after = query.after === null ? null : readCursor(query.after);
  const order = after?.order ?? query.order;
  const stateOf = statesAt(seen);
  const isMeant = filterOf(query, named, stateOf, seen);
  const first = keepForemost<Place>(query.limit + 1, before);
  let [matching, looked] = [0, 0];
  for (const [ref, client] of known) {
    looked += 1;
    if (looked % COUNTED_AT_ONCE === 0) await sleep(0);
    if (!isMeant(ref, client)) continue;
    matching += 1;
    const place = { value: valueIn(order, ref, client, stateOf), ref };
    if (after === null || before(after, place) < 0) first.offer(place);
  }
  const page = first.list().slice(0, query.limit);
  const last = page.at(-1);
  const next = first.offered <= query.limit || last === undefined ? null : writeCursor({ order, ...last });
  return { refs: page.map(({ ref }) => ref), next, matching };
}

function before(a: Place, b: Place): number {
  return a.value - b.value || (a.ref < b.ref ? -1 : a.ref > b.ref ? 1 : 0);
}

function valueIn(order: ClientOrder, ref: ClientRef, client: Known, stateOf: TellState): number {
  switch (order) {
    case 'urgency':
      return urgencyOf({ compromised: client.compromised, state: stateOf(ref, client) });
    case 'name':
      return 0;
    case 'age':
      return client.since ?? NEVER;
    case 'due':
      return client.dueAt ?? NEVER;
    default:
      return order satisfies never;
  }
}

type Filter = (ref: ClientRef, client: Known) => boolean;

function filterOf(query: ClientQuery, named: ReadonlySet<ClientRef>, stateOf: TellState, seen: Surroundings): Filter {
  const { state, app, policy, condition, only } = query;
  const text = query.text.trim().toLowerCase();
  const isFound = (part: string) => part.toLowerCase().includes(text);
  return (ref, client) =>
    (only === null || ref === only || client.group.app === only) &&
    (app === null || client.group.app === app) &&
    (policy === null || client.group.policy === policy) &&
    (condition === null || meets(condition, ref, client, seen)) &&
    (text === '' || isFound(ref) || isFound(client.clientId) || named.has(ref)) &&
    (state === null || stateOf(ref, client) === state);
}
