/** A page of a list of clients: the census finds them, and the store has their records. */

import { type ClientRef, parseReference, REFERENCE } from '../../core/client.ts';
import { isMarked, marksFor } from '../../keys/key-marks.ts';
import type { Resources } from '../../rotation/resources.ts';
import type { Look } from '../census/census.ts';
import type { ClientStatus } from '../model.ts';
import { surroundingsOf } from '../surroundings.ts';
import type { ClientList, ClientQuery } from '../views.ts';
import { pageByName, statusesOf } from './by-name.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { listed } from './listing.ts';

/** @throws RekeydError `usage` when `after` is no cursor */
export async function clientList(query: ClientQuery, look: Look, resources: Resources): Promise<ClientList> {
  const text = query.text.trim();
  const named = await namedBy(text, resources);
  if (look.reading !== null) return { ...(await untilRead(query, text, named, resources)), reading: look.reading };
  const seen = await surroundingsOf(resources);
  const { refs, next, matching } = await listed(look.known, query, named, seen);
  // A client may have changed since the census took it in.
  const clients = (await statusesOf(resources, refs, query.condition)).filter((one) => isMeant(one, query));
  return { clients, next, matching, reading: null };
}

/** How many clients are found by one `kid` at the most: all clients may have the same one. */
const MOST_OWNERS = 1_000;

/** Clients that have, had or show a key of this name. In a store that has no index of keys yet none are found. */
async function namedBy(text: string, { store }: Resources): Promise<ReadonlySet<ClientRef>> {
  if (text === '' || !isMarked(text)) return new Set();
  const owners = await Promise.all(marksFor(text).map((mark) => store.ownersOf(mark, MOST_OWNERS)));
  return new Set(owners.flat());
}

/** Until the census has read the fleet: in the order of names, and a search finds whole references and kids only. */
async function untilRead(
  query: ClientQuery,
  text: string,
  named: ReadonlySet<ClientRef>,
  resources: Resources,
): Promise<Omit<ClientList, 'reading'>> {
  const last = query.after === null ? null : readCursor(query.after).ref;
  if (text === '') {
    const { clients, next } = await pageByName(resources, { ...query, last });
    return { clients, next: next === null ? null : byName(next), matching: null };
  }
  const refs = [...new Set([...(REFERENCE.test(text) ? [parseReference(text)] : []), ...named])].sort();
  const meant = refs.filter((ref) => (last === null || ref > last) && isAllowed(ref, query));
  const page = meant.slice(0, query.limit);
  const clients = (await statusesOf(resources, page, query.condition)).filter((one) => isMeant(one, query));
  const end = page.at(-1);
  return { clients, next: end === undefined || page.length === meant.length ? null : byName(end), matching: null };
}

function byName(ref: ClientRef): string {
  return writeCursor({ order: 'name', value: 0, ref });
}

function isAllowed(ref: ClientRef, { only, app }: ClientQuery): boolean {
  const isIn = (place: string | null) => place === null || ref === place || ref.startsWith(`${place}/`);
  return isIn(only) && isIn(app);
}

function isMeant({ state, policy }: ClientStatus, query: ClientQuery): boolean {
  const isOfPolicy = query.policy === null || policy === query.policy;
  return isOfPolicy && (query.state === null || state === query.state);
}
