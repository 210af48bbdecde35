/** Which clients of the store have, had or show a certain key, and what it is there. */
import type { ClientRef } from '../core/client.ts';
import type { ObservedClient, PublishedKey } from '../core/document.ts';
import { type FormerKey, isCompromised, type KeyState, type ManagedKey } from '../core/keys.ts';
import type { ClientRecord } from '../core/record.ts';
import type { Meant } from '../keys/any-key.ts';
import { thumbprintsIn } from '../keys/key-id.ts';
import { isMarked, marksFor, type NamedBy, namedBy } from '../keys/key-marks.ts';
import { pagesOf } from '../parallel.ts';
import type { Store } from '../store/store.ts';

/** Members as in the JSON document. */
export interface Match {
  readonly client: ClientRef;
  /** The OAuth `client_id`. */
  readonly client_id: string;
  /** False: the API lists the client, and the store does not know it yet. */
  readonly known: boolean;
  readonly kid: string | null;
  /** Of a key of ours; `destroyed`: its private half is gone. `foreign`: it is published, and not ours. */
  readonly state: KeyState | 'destroyed' | 'foreign';
  readonly reported: boolean;
  /** What was given: the key itself, or what it is called. */
  readonly by: 'key' | NamedBy;
  /** The server showed it when it was last seen. */
  readonly published: boolean;
  /** Null: there is no private half to try with. */
  readonly sign_in: 'accepted' | 'refused' | 'unknown' | null;
  /** What the server said, or why it could not be tried. */
  readonly detail: string | null;
}

/** A key of a client that matches what was given. */
export interface Candidate extends Omit<Match, 'sign_in' | 'detail'> {
  readonly id: string | null;
  readonly alg: string | null;
  /** Its private half is in the store, under that name. */
  readonly sealed: ManagedKey | null;
  /** Null for a client that the store does not know. */
  readonly record: ClientRecord | null;
}

/** Asks the store alone: the API is not called. */
export async function ownersInStore(store: Store, meant: Meant): Promise<readonly Candidate[]> {
  const found: Candidate[] = [];
  for (const page of pagesOf(await possibleOwners(store, meant))) {
    for (const { record } of (await store.loadMany(page)).values()) found.push(...inRecord(record, meant));
  }
  return found;
}

/** The most owners of one key that are read. */
const MOST_OWNERS = 10_000;

/** The clients that may have such a key: all of them while the index of keys is not complete. */
export async function possibleOwners(
  store: Pick<Store, 'areOwnersNoted' | 'clientRefs' | 'ownersOf'>,
  meant: Meant,
): Promise<Iterable<ClientRef>> {
  const isNoted = !('name' in meant) || isMarked(meant.name);
  if (!isNoted || !(await store.areOwnersNoted())) return store.clientRefs();
  const names = 'name' in meant ? [meant.name] : meant.keys.flatMap(({ id, thumbprint }) => [id, thumbprint]);
  const owners = new Set<ClientRef>();
  for (const mark of new Set(names.flatMap(marksFor))) {
    for (const ref of await store.ownersOf(mark, MOST_OWNERS)) owners.add(ref);
  }
  return owners;
}

function inRecord(record: ClientRecord, meant: Meant): readonly Candidate[] {
  const { ref, clientId, keys, former, server } = record;
  const about = { client: ref, client_id: clientId, known: true, record };
  const { client } = server.observed;
  const isShown = (id: string) => client.keys.some(({ ids }) => ids.includes(id));
  const ours = keys.flatMap((key) => {
    const by = meantBy(meant, { ids: [key.id], kid: key.kid, thumbprints: [key.thumbprint] });
    return by === null ? [] : [{ ...about, ...managed(record, key), by, published: isShown(key.id) }];
  });
  const past = former.flatMap((key) => {
    const thumbprints = [key.thumbprint ?? key.kid];
    const by = meantBy(meant, { ids: [key.id], kid: key.kid, thumbprints });
    if (by === null || ours.some(({ id }) => id === key.id)) return [];
    return [{ ...about, ...formerKey(key), by, published: isShown(key.id) }];
  });
  const foreign = published(client, meant)
    .filter(({ entry }) => ![...ours, ...past].some((key) => key.id !== null && entry.ids.includes(key.id)))
    .map((shown) => ({ ...about, ...foreignKey(shown, client, isCompromised(record, shown.entry)) }));
  return [...ours, ...past, ...foreign];
}

/** The members of a candidate that are about the key alone. */
type Key = Omit<Candidate, 'client' | 'client_id' | 'known' | 'record' | 'by' | 'published'>;

function managed({ former }: ClientRecord, key: ManagedKey): Key {
  const { id, kid, alg, state } = key;
  const reported = state === 'compromised' || former.some((old) => old.id === id && old.compromised);
  return { id, kid, alg, state, reported, sealed: key };
}

function formerKey({ id, kid, compromised }: FormerKey): Key {
  return { id, kid, alg: null, state: 'destroyed', reported: compromised, sealed: null };
}

export function foreignKey({ entry: { jwk }, by, id }: Shown, { alg }: ObservedClient, reported: boolean) {
  return { id, kid: kidOf(jwk), alg, state: 'foreign', reported, by, published: true, sealed: null } as const;
}

/** An entry of a set that holds the key, under the id that is meant where it holds two. */
export interface Shown {
  readonly entry: PublishedKey;
  readonly by: Match['by'];
  readonly id: string | null;
}

export function published({ keys }: ObservedClient, meant: Meant): readonly Shown[] {
  return keys.flatMap((entry) => {
    const { ids, jwk } = entry;
    const thumbprints = 'name' in meant ? thumbprintsIn(jwk) : [];
    const by = meantBy(meant, { ids, kid: kidOf(jwk), thumbprints });
    const given = 'keys' in meant ? meant.keys.find((key) => ids.includes(key.id)) : undefined;
    return by === null ? [] : [{ entry, by, id: given?.id ?? ids[0] ?? null }];
  });
}

function kidOf({ kid }: PublishedKey['jwk']): string | null {
  return typeof kid === 'string' ? kid : null;
}

function meantBy(meant: Meant, names: Parameters<typeof namedBy>[1]): Match['by'] | null {
  if ('name' in meant) return namedBy(meant.name, names);
  return meant.keys.some(({ id }) => names.ids.includes(id)) ? 'key' : null;
}
