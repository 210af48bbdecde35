/** Which clients have a key, and whether it still signs in. Nothing is written, and a private half that was given is forgotten when this returns. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { type ClientRef, makeReference, splitReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { type Algorithm, isAlgorithm, type ManagedKey } from '../core/keys.ts';
import { messageOf } from '../errors.ts';
import { algorithmsFor } from '../keys/algorithms.ts';
import type { AnyKey, Meant } from '../keys/any-key.ts';
import { publicJwkFrom } from '../keys/generate.ts';
import type { Kek } from '../keys/kek.ts';
import { openKey } from '../keys/sealed.ts';
import { inParallel } from '../parallel.ts';
import { turnForList } from './deployment.ts';
import { type Candidate, foreignKey, type Match, ownersInStore, published } from './owners.ts';
import type { Resources } from './resources.ts';

/**
 * The clients of the store that have the key; where there are none, those that the lists of the API show with it.
 * @throws ApiError when a list cannot be read
 */
export async function identify(
  resources: Resources,
  keks: readonly Kek[],
  meant: Meant,
  signal: AbortSignal,
): Promise<readonly Match[]> {
  const known = await ownersInStore(resources.store, meant);
  const candidates = known.length > 0 ? known : await inLists(resources, meant, signal);
  const given = 'keys' in meant ? meant.keys : [];
  const matches: Match[] = [];
  await inParallel(candidates.entries(), SIGN_INS_AT_ONCE, async ([index, candidate]) => {
    const { id, alg, sealed, record, ...shown } = candidate;
    matches[index] = { ...shown, ...(await trySigningIn(candidate, given, resources, keks, signal)) };
  });
  return matches;
}

/** One key may be that of thousands of clients. A sign-in that waits for a connection uses its time up, and its key would count as unknown. */
const SIGN_INS_AT_ONCE = 4;

/** Clients that the store does not know yet, or whose keys changed since it saw them. Each list is read once. */
async function inLists(resources: Resources, meant: Meant, signal: AbortSignal): Promise<readonly Candidate[]> {
  const found: Candidate[] = [];
  for (const [id, deployment] of resources.deployments) {
    for (const { slug } of deployment.config.apps) {
      await turnForList(resources, deployment, true);
      const keep = async (some: readonly ObservedClient[]) =>
        some.filter((client) => published(client, meant).length > 0);
      const { clients } = await deployment.wacht.listClients(slug, keep, signal);
      for (const client of clients) {
        const ref = makeReference(id, slug, client.id);
        const about = { client: ref, client_id: client.clientId, known: false, record: null };
        for (const shown of published(client, meant)) found.push({ ...about, ...foreignKey(shown, client, false) });
      }
    }
  }
  return found;
}

export type Tried = Pick<Match, 'sign_in' | 'detail'>;

/**
 * A sign-in with the private half that was given, or with ours.
 * @param keks none: ours is not opened
 */
export async function trySigningIn(
  { client: ref, client_id: clientId, id, kid, alg, sealed }: Candidate,
  given: readonly AnyKey[],
  resources: Resources,
  keks: readonly Kek[],
  signal: AbortSignal,
): Promise<Tried> {
  try {
    const own = given.find((key) => key.privateKey !== null && key.id === id)?.privateKey ?? null;
    const privateKey =
      own ?? (sealed === null || keks.length === 0 ? null : await opened(resources, keks, ref, sealed));
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
