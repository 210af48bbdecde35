/** Whose key this is, and whether it still signs in. Nothing is written, and a private half that was given is forgotten when this returns. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { type ClientRef, makeReference, splitReference } from '../core/client.ts';
import type { ObservedClient, PublishedKey } from '../core/document.ts';
import {
  type Algorithm,
  type FormerKey,
  isAlgorithm,
  isCompromised,
  type KeyState,
  type ManagedKey,
} from '../core/keys.ts';
import type { ClientRecord } from '../core/record.ts';
import { messageOf } from '../errors.ts';
import { algorithmsFor } from '../keys/algorithms.ts';
import type { AnyKey, Meant } from '../keys/any-key.ts';
import { publicJwkFrom } from '../keys/generate.ts';
import { thumbprintsIn } from '../keys/key-id.ts';
import { marksFor, type NamedBy, namedBy } from '../keys/key-marks.ts';
import { type Kek, openKey } from '../keys/sealed.ts';
import { pagesOf } from '../parallel.ts';
import type { Store } from '../store/store.ts';
import { turnForList } from './deployment.ts';
import type { Resources } from './resources.ts';

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

/** A key of a client that is the one that is meant. */
interface Candidate extends Omit<Match, 'sign_in' | 'detail'> {
  readonly id: string | null;
  readonly alg: string | null;
  /** Its private half is in the store, under that name. */
  readonly sealed: ManagedKey | null;
}

/** @throws ApiError when nobody in the store has it and the lists cannot be read */
export async function identify(
  resources: Resources,
  keks: readonly Kek[],
  meant: Meant,
  signal: AbortSignal,
): Promise<readonly Match[]> {
  const known = await inStore(resources, meant);
  const candidates = known.length > 0 ? known : await inLists(resources, meant);
  const given = 'keys' in meant ? meant.keys : [];
  return Promise.all(
    candidates.map(async (candidate): Promise<Match> => {
      const { id, alg, sealed, ...shown } = candidate;
      return { ...shown, ...(await tried(candidate, given, resources, keks, signal)) };
    }),
  );
}

async function inStore({ store }: Resources, meant: Meant): Promise<readonly Candidate[]> {
  const found: Candidate[] = [];
  for (const page of pagesOf(await possibleOwners(store, meant))) {
    for (const { record } of (await store.loadMany(page)).values()) found.push(...inRecord(record, meant));
  }
  return found;
}

/** One key may be that of many clients, and nobody reads more of them at once. */
const MOST_OWNERS = 10_000;

/** All clients of a store whose keys are not noted yet. */
async function possibleOwners(store: Store, meant: Meant): Promise<Iterable<ClientRef>> {
  if (!(await store.areOwnersNoted())) return store.clientRefs();
  const names = 'name' in meant ? [meant.name] : meant.keys.map(({ id }) => id);
  const owners = new Set<ClientRef>();
  for (const mark of new Set(names.flatMap(marksFor))) {
    for (const ref of await store.ownersOf(mark, MOST_OWNERS)) owners.add(ref);
  }
  return owners;
}

function inRecord(record: ClientRecord, meant: Meant): readonly Candidate[] {
  const { ref, clientId, keys, former, server } = record;
  const about = { client: ref, client_id: clientId, known: true };
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
    .map(({ entry, by }) => ({ ...about, ...foreignKey(entry, client, isCompromised(record, entry)), by }));
  return [...ours, ...past, ...foreign];
}

/** What is left of a candidate once the client is known, and what was given of it. */
type Key = Omit<Candidate, 'client' | 'client_id' | 'known' | 'by' | 'published'>;

function managed({ former }: ClientRecord, key: ManagedKey): Key {
  const { id, kid, alg, state } = key;
  const reported = state === 'compromised' || former.some((old) => old.id === id && old.compromised);
  return { id, kid, alg, state, reported, sealed: key };
}

function formerKey({ id, kid, compromised }: FormerKey): Key {
  return { id, kid, alg: null, state: 'destroyed', reported: compromised, sealed: null };
}

function foreignKey({ ids, jwk }: PublishedKey, { alg }: ObservedClient, reported: boolean) {
  const kid = typeof jwk.kid === 'string' ? jwk.kid : null;
  return { id: ids[0] ?? null, kid, alg, state: 'foreign', reported, published: true, sealed: null } as const;
}

interface Shown {
  readonly entry: PublishedKey;
  readonly by: Match['by'];
}

function published({ keys }: ObservedClient, meant: Meant): readonly Shown[] {
  return keys.flatMap((entry) => {
    const { ids, jwk } = entry;
    const kid = typeof jwk.kid === 'string' ? jwk.kid : null;
    const thumbprints = 'name' in meant ? thumbprintsIn(jwk) : [];
    const by = meantBy(meant, { ids, kid, thumbprints });
    return by === null ? [] : [{ entry, by }];
  });
}

function meantBy(meant: Meant, names: Parameters<typeof namedBy>[1]): Match['by'] | null {
  if ('name' in meant) return namedBy(meant.name, names);
  return meant.keys.some(({ id }) => names.ids.includes(id)) ? 'key' : null;
}

/** Clients that nobody has looked for yet, or that changed since. Each list is read once. */
async function inLists(resources: Resources, meant: Meant): Promise<readonly Candidate[]> {
  const found: Candidate[] = [];
  for (const [id, deployment] of resources.deployments) {
    for (const { slug } of deployment.config.apps) {
      await turnForList(resources, deployment, true);
      const keep = async (some: readonly ObservedClient[]) =>
        some.filter((client) => published(client, meant).length > 0);
      const { clients } = await deployment.wacht.listClients(slug, keep);
      for (const client of clients) {
        const about = { client: makeReference(id, slug, client.id), client_id: client.clientId, known: false };
        for (const { entry, by } of published(client, meant))
          found.push({ ...about, ...foreignKey(entry, client, false), by });
      }
    }
  }
  return found;
}

type Tried = Pick<Match, 'sign_in' | 'detail'>;

/** A sign-in with the private half that was given, or with ours. */
async function tried(
  { client: ref, client_id: clientId, id, kid, alg, sealed }: Candidate,
  given: readonly AnyKey[],
  resources: Resources,
  keks: readonly Kek[],
  signal: AbortSignal,
): Promise<Tried> {
  try {
    const own = given.find((key) => key.privateKey !== null && key.id === id)?.privateKey ?? null;
    const privateKey = own ?? (sealed === null ? null : await opened(resources, keks, ref, sealed));
    if (privateKey === null) return { sign_in: null, detail: 'its private half is not here: nothing to sign in with' };
    const deployment = resources.deploymentOf(ref);
    const { app } = splitReference(ref);
    const { jwk, thumbprint } = await publicJwkFrom(createPublicKey(privateKey));
    const request = {
      issuer: await deployment.issuers.of(app),
      clientId,
      alg: signingAlg(algorithmsFor(jwk), alg),
      kid: kid ?? thumbprint,
      privateKey,
      nowMs: resources.clock.now(),
    };
    const answer = await deployment.proverOf(app).prove(request, signal);
    if (answer.verdict === 'accepted') return { sign_in: 'accepted', detail: null };
    return { sign_in: answer.verdict === 'refused' ? 'refused' : 'unknown', detail: answer.message };
  } catch (error) {
    return { sign_in: 'unknown', detail: messageOf(error) };
  }
}

async function opened(
  { store }: Resources,
  keks: readonly Kek[],
  ref: ClientRef,
  { thumbprint, alg }: ManagedKey,
): Promise<KeyObject | null> {
  const jwe = await store.sealedHalf(ref, thumbprint);
  return jwe === null ? null : (await openKey(jwe, { ref, thumbprint, alg }, keks)).keyObject();
}

/** What the client is registered with, where the key can sign it. */
function signingAlg(fitting: readonly Algorithm[], registered: string | null): Algorithm {
  const [preferred] = fitting;
  if (preferred === undefined) throw new Error('no algorithm of this key is known');
  return registered !== null && isAlgorithm(registered) && fitting.includes(registered) ? registered : preferred;
}
