/** Clients in alphabetical order of their references, read from the store. It needs no census. */

import { policyFor } from '../../config/lookup.ts';
import { type ClientRef, parseReference, REFERENCE } from '../../core/client.ts';
import type { ClientState } from '../../core/state.ts';
import type { Resources } from '../../rotation/resources.ts';
import { meets, openKnowing } from '../census/known.ts';
import { clientStatus } from '../client/status.ts';
import type { ClientStatus } from '../model.ts';
import { surroundingsOf } from '../surroundings.ts';
import type { ClientCondition } from '../views.ts';

/** How many clients are read for one answer at the most, however few match. The caller gets the rest with `next`. */
export const MOST_LOOKED_AT = 1_000;

export interface NameQuery {
  /** What the caller may see: an app, or a client reference; null: all. */
  readonly only: string | null;
  /** `deployment/slug` */
  readonly app: string | null;
  readonly policy: string | null;
  readonly state: ClientState | null;
  readonly condition: ClientCondition | null;
  /** The last client of the page before; null: from the first. */
  readonly last: ClientRef | null;
  readonly limit: number;
}

/** A page may have fewer clients than `limit`, or none, and still have a `next`. @returns `next`: for {@link NameQuery.last}; null: there are no more */
export async function pageByName(resources: Resources, query: NameQuery) {
  const { policy, state, condition, limit } = query;
  const found: ClientStatus[] = [];
  let { last } = query;
  for (let looked = 0; looked < MOST_LOOKED_AT; ) {
    const size = policy === null && state === null && condition === null ? limit - found.length : limit;
    const refs = await refsAfter(resources, query, last, size);
    looked += refs.length;
    const wanted = refs.filter((ref) => policy === null || policyFor(resources.config, ref)?.name === policy);
    const statuses = await statusesOf(resources, wanted, condition);
    const listed = statuses.filter((one) => state === null || one.state === state);
    const fitting = listed.slice(0, limit - found.length);
    found.push(...fitting);
    if (refs.length < size && fitting.length === listed.length) return { clients: found, next: null };
    last = fitting.length < listed.length ? (fitting.at(-1)?.client ?? last) : (refs.at(-1) ?? last);
    if (found.length >= limit) break;
  }
  return { clients: found, next: last };
}

async function refsAfter(
  { store }: Resources,
  { only, app }: NameQuery,
  last: ClientRef | null,
  limit: number,
): Promise<readonly ClientRef[]> {
  if (only !== null && REFERENCE.test(only)) {
    const isWanted = (last === null || only > last) && (app === null || only.startsWith(`${app}/`));
    return isWanted ? [parseReference(only)] : [];
  }
  if (only !== null && app !== null && app !== only) return [];
  const place = app ?? only;
  if (place === null) return store.refsAfter(last, limit);
  // A page of another app may end before this one begins, or after it has ended.
  const from = last === null || last <= `${place}/` ? null : last;
  return store.appRefs(place, limit, from);
}

/**
 * In the order of `refs`, without those that are not known. Reports of signers are those that were heard last.
 * @param condition only clients that meet it; null: all
 */
export async function statusesOf(
  resources: Resources,
  refs: readonly ClientRef[],
  condition: ClientCondition | null = null,
): Promise<readonly ClientStatus[]> {
  if (refs.length === 0) return [];
  const [seen, loaded] = await Promise.all([surroundingsOf(resources), resources.store.loadMany(refs)]);
  const toKnown = openKnowing();
  return refs.flatMap((ref) => {
    const record = loaded.get(ref)?.record;
    if (record === undefined) return [];
    const isWanted = condition === null || meets(condition, ref, toKnown(record, seen.now, resources), seen);
    return isWanted ? [clientStatus(record, seen, resources)] : [];
  });
}
