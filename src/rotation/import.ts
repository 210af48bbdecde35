/** Adopting the private key that a client already signs with: into the store first, then to the signers. */

import { adopt, imported } from '../core/adopt.ts';
import type { ClientRef } from '../core/client.ts';
import { desiredDelivery } from '../core/desired.ts';
import type { ObservedClient } from '../core/document.ts';
import { keyOf } from '../core/keys.ts';
import { delivered } from '../core/progress.ts';
import type { Algorithm, Cause, ManagedKey } from '../core/record.ts';
import { RekeydError } from '../errors.ts';
import { isAlgorithm } from '../keys/algorithms.ts';
import { importPrivateKey } from '../keys/import.ts';
import { type Kek, sealKey } from '../keys/sealed.ts';
import { monotonic } from '../time.ts';
import { commitOf } from './commit.ts';
import { effectsFor } from './effects.ts';
import { clientPolicy } from './policy.ts';
import type { Resources } from './resources.ts';

/**
 * @param text a private key as PEM or JWK
 * @param alg for an RSA key that does not say; when absent, what the client is registered with
 * @returns the key as it is now managed
 * @throws RekeydError `key_invalid` (unusable, or not the published one), `not_found` (client or policy), `sink_failed` (imported, but signers
 * do not have it yet: the next rotation delivers it), ApiError
 */
export async function importKey(
  parts: Resources,
  keks: readonly Kek[],
  ref: ClientRef,
  text: string,
  cause: Cause,
  alg?: Algorithm,
): Promise<ManagedKey> {
  const { store } = parts;
  const policy = clientPolicy(parts, ref);
  if (policy === null) {
    throw new RekeydError(
      'not_found',
      `The config has no policy for ${ref}. Add its app (and the client, unless clients: all).`,
    );
  }
  const client = await parts.deploymentOf(ref).directory.observe(ref, monotonic());
  if (client === null) throw new RekeydError('not_found', `The API lists no client ${ref}. Check the reference.`);
  const key = await importPrivateKey(text, alg ?? registeredAlg(text, client));

  const loaded = await store.load(ref);
  const now = loaded?.now ?? (await store.now());
  const known =
    loaded === null
      ? adopt(ref, client, cause, now)
      : { record: { ...loaded.record, observed: { client, at: now } }, entries: [] };
  const publicHalf = { alg: key.alg, thumbprint: key.kid, jwk: key.jwk, pem: key.pem };
  const adopted = imported(known.record, publicHalf, policy, cause, now);
  const jwe = await sealKey(key.privateKey, { ref, kid: key.kid }, keks);
  const seal = [{ kid: key.kid, jwe }];
  const change = { record: adopted.record, entries: [...known.entries, ...adopted.entries], seal };
  const { version } = await store.commit(commitOf(change, policy, { expected: loaded, durable: true }));
  await parts.identity.remember();

  const delivery = desiredDelivery(adopted.record);
  await effectsFor(ref, policy, parts, keks).deliver(adopted.record, delivery, { now, epoch: now });
  const told = delivered(adopted.record, delivery, { policy, now, random: 0 });
  await store.commit(commitOf(told, policy, { expected: { version, epoch: loaded?.epoch ?? 0 }, durable: false }));
  return keyOf(told.record, delivery.current ?? key.kid);
}

/** A PEM does not say what it signs; the server does. A JWK may, and is asked first. */
function registeredAlg(text: string, { alg }: ObservedClient): Algorithm | undefined {
  return !text.trimStart().startsWith('{') && alg !== null && isAlgorithm(alg) ? alg : undefined;
}
