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
import { type AnyKey, type Meant, namesOf } from '../keys/any-key.ts';
import { publicJwkFrom } from '../keys/generate.ts';
import { type Kek, openKey } from '../keys/sealed.ts';
import { pagesOf } from '../parallel.ts';
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
  for (const page of pagesOf(await store.clientRefs())) {
    for (const { record } of (await store.loadMany(page)).values()) found.push(...(await inRecord(record, meant)));
  }
  return found;
}

async function inRecord(record: ClientRecord, meant: Meant): Promise<readonly Candidate[]> {
  const { ref, clientId, keys, former } = record;
  const about = { client: ref, client_id: clientId, known: true };
  const ours = keys
    .filter((key) => isMeant(meant, [key.id], [key.kid, key.thumbprint]))
    .map((key) => ({ ...about, ...managed(record, key) }));
  const past = former
    .filter(({ id, kid }) => isMeant(meant, [id], [kid]) && !ours.some((key) => key.id === id))
    .map((key) => ({ ...about, ...formerKey(key) }));
  const shown = await published(record.server.observed.client, meant);
  const foreign = shown
    .filter(({ ids }) => ![...ours, ...past].some((key) => key.id !== null && ids.includes(key.id)))
    .map((entry) => ({ ...about, ...foreignKey(entry, record.server.observed.client, isCompromised(record, entry)) }));
  return [...ours, ...past, ...foreign];
}

/** What is left of a candidate once the client is known. */
type Key = Omit<Candidate, 'client' | 'client_id' | 'known'>;

function managed({ former }: ClientRecord, key: ManagedKey): Key {
  const { id, kid, alg, state } = key;
  const reported = state === 'compromised' || former.some((old) => old.id === id && old.compromised);
  return { id, kid, alg, state, reported, sealed: key };
}

function formerKey({ id, kid, compromised }: FormerKey): Key {
  return { id, kid, alg: null, state: 'destroyed', reported: compromised, sealed: null };
}

function foreignKey({ ids, jwk }: PublishedKey, { alg }: ObservedClient, reported: boolean): Key {
  const kid = typeof jwk.kid === 'string' ? jwk.kid : null;
  return { id: ids[0] ?? null, kid, alg, state: 'foreign', reported, sealed: null };
}

async function published({ keys }: ObservedClient, meant: Meant): Promise<readonly PublishedKey[]> {
  const found: PublishedKey[] = [];
  for (const entry of keys) {
    const names = 'name' in meant ? await namesOf(entry.jwk) : [];
    if (isMeant(meant, entry.ids, names)) found.push(entry);
  }
  return found;
}

function isMeant(meant: Meant, ids: readonly string[], names: readonly string[]): boolean {
  if ('name' in meant) return ids.includes(meant.name) || names.includes(meant.name);
  return meant.keys.some(({ id }) => ids.includes(id));
}

/** Clients that nobody has looked for yet, or that changed since. Each list is read once. */
async function inLists(resources: Resources, meant: Meant): Promise<readonly Candidate[]> {
  const found: Candidate[] = [];
  for (const [id, deployment] of resources.deployments) {
    for (const { slug } of deployment.config.apps) {
      await turnForList(resources, deployment, true);
      const keep = async (some: readonly ObservedClient[]) => {
        const kept: ObservedClient[] = [];
        for (const client of some) if ((await published(client, meant)).length > 0) kept.push(client);
        return kept;
      };
      const { clients } = await deployment.wacht.listClients(slug, keep);
      for (const client of clients) {
        const about = { client: makeReference(id, slug, client.id), client_id: client.clientId, known: false };
        for (const entry of await published(client, meant))
          found.push({ ...about, ...foreignKey(entry, client, false) });
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
