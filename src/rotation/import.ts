/** Taking over the private key that a client already signs with: into the store first, then to the signers. */
import { type ClientRef, makeReference, misnamed, splitReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { enrolled, found, imported, observed } from '../core/enrolment.ts';
import type { Cause } from '../core/history.ts';
import { type Algorithm, activeKey, isAlgorithm, type ManagedKey } from '../core/keys.ts';
import type { Enrolment } from '../core/record.ts';
import { andThen } from '../core/transition.ts';
import { hasCode, RekeydError } from '../errors.ts';
import type { FreshKey } from '../keys/generate.ts';
import { importPrivateKey } from '../keys/import.ts';
import { type Kek, sealKey } from '../keys/sealed.ts';
import { commitOf } from './commit.ts';
import { handsFor } from './effects.ts';
import { rotate } from './loop.ts';
import { clientPolicy, type RotationPolicy } from './policy.ts';
import type { Resources } from './resources.ts';

export interface Import {
  readonly ref: ClientRef;
  /** A private key as PEM or JWK. */
  readonly text: string;
  /** For an RSA key that does not say; when absent, what the client is registered with. */
  readonly alg?: Algorithm;
  /** The application is said to take its key from us. */
  readonly enroll: boolean;
  readonly cause: Cause;
}

export interface Imported {
  readonly key: ManagedKey;
  readonly enrolment: Enrolment;
}

/**
 * Reads the client's row once, and sends nothing. Run again, it goes on where it was interrupted: a key that is in the store is only delivered.
 *
 * @returns the key as it is managed now, and what its client is by that
 * @throws RekeydError `key_invalid` (unusable, or not the published one), `not_found` (client or policy), `sink_failed` (imported, but signers do not have
 * it yet: a worker tries again), ApiError
 */
export async function importKey(resources: Resources, keks: readonly Kek[], asked: Import): Promise<Imported> {
  const { ref } = asked;
  const policy = clientPolicy(resources, ref);
  if (policy === null) {
    throw new RekeydError(
      'not_found',
      `The config has no policy for ${ref}. Add its app (and the client, unless clients: all).`,
    );
  }
  const client = await resources.deploymentOf(ref).lists.find(ref);
  if (client === null) throw new RekeydError('not_found', await notListed(resources, ref));
  const key = await importPrivateKey(asked.text, asked.alg ?? registeredAlg(asked.text, client));
  await commitImport(resources, keks, policy, asked, client, key);
  await resources.guard.remember();
  await deliverImport(resources, keks, policy, ref);
  const loaded = await resources.store.load(ref);
  const active = activeOf(loaded);
  if (loaded === null || active === undefined)
    throw new RekeydError('store_conflict', `${ref} was changed meanwhile. Look at its status.`);
  return { key: active, enrolment: loaded.record.enrolment };
}

async function notListed(resources: Resources, ref: ClientRef): Promise<string> {
  const { deployment, app } = splitReference(ref);
  const { clients } = await resources.deploymentOf(ref).wacht.listClients(app);
  const ids = clients.map(({ id, clientId }) => [makeReference(deployment, app, id), clientId] as const);
  return misnamed(ref, ids) ?? `The API lists no client ${ref}. Check the reference.`;
}

function activeOf(loaded: Awaited<ReturnType<Resources['store']['load']>>): ManagedKey | undefined {
  return loaded === null ? undefined : activeKey(loaded.record);
}

/** Another commit in between is no failure: the record is loaded again. */
async function commitImport(
  { store }: Resources,
  keks: readonly Kek[],
  policy: RotationPolicy,
  { ref, cause, enroll }: Import,
  client: ObservedClient,
  key: FreshKey,
): Promise<void> {
  const { id, thumbprint, alg, jwk, pem } = key;
  const jwe = await sealKey(key.privateKey, { ref, thumbprint }, keks);
  for (;;) {
    const loaded = await store.load(ref);
    const now = loaded?.now ?? (await store.now());
    const isThere = activeOf(loaded)?.thumbprint === thumbprint && loaded?.record.rotation === null;
    if (isThere && !enroll) return;
    const known = loaded === null ? found(ref, client, cause, now) : observed(loaded.record, client, policy, now);
    const taken = isThere
      ? known
      : andThen(known, (record) => imported(record, { id, thumbprint, alg, jwk, pem }, cause, now));
    const change = enroll ? andThen(taken, (record) => enrolled(record, cause)) : taken;
    const seal = isThere ? [] : [{ thumbprint, jwe }];
    try {
      await store.commit(commitOf({ ...change, seal }, policy, { from: loaded, durable: true }));
      return;
    } catch (error) {
      if (!hasCode(error, 'store_conflict') && !hasCode(error, 'store_fenced')) throw error;
    }
  }
}

/** The loop delivers it, as it delivers everything. */
async function deliverImport(
  resources: Resources,
  keks: readonly Kek[],
  policy: RotationPolicy,
  ref: ClientRef,
): Promise<void> {
  const tools = { store: resources.store, ...handsFor(ref, policy, resources, keks), random: Math.random };
  await rotate(ref, policy, tools, new AbortController().signal);
  const loaded = await resources.store.load(ref);
  const error = loaded?.record.signers.tries.error ?? null;
  if (loaded?.record.signers.delivered === null && error !== null) throw new RekeydError('sink_failed', error);
}

/** A PEM does not say what it signs; the server does. A JWK may, and is asked first. */
function registeredAlg(text: string, { alg }: ObservedClient): Algorithm | undefined {
  return !text.trimStart().startsWith('{') && alg !== null && isAlgorithm(alg) ? alg : undefined;
}
