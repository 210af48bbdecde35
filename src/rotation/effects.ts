/** The {@link Effects} of a rotation on the real world: keys, store, sinks, API and issuer of one client. */
import { type ClientRef, splitReference } from '../core/client.ts';
import type { LeftOut } from '../core/delivering.ts';
import { type Algorithm, keyOf } from '../core/keys.ts';
import type { ClientRecord } from '../core/record.ts';
import { dispensable } from '../core/signers.ts';
import type { SinkKey } from '../deliver/sink.ts';
import { isUnopenable, RekeydError } from '../errors.ts';
import type { Kek } from '../keys/kek.ts';
import type { PrivateKey } from '../keys/private-key.ts';
import { openKey, sealKey } from '../keys/sealed.ts';
import type { Turn } from '../store/deployments.ts';
import { apiCalls } from './api-calls.ts';
import { deliverToAll } from './deliver-to-all.ts';
import { hearSigners } from './hearing.ts';
import type { RotationPolicy } from './policy.ts';
import { proofsOf } from './proofs.ts';
import type { Resources } from './resources.ts';
import type { Effects } from './run.ts';

/** The effects of one run, and its turns of the API budget. */
export interface Hands {
  readonly effects: Effects;
  readonly turn: (urgent: boolean) => Promise<Turn>;
}

/** For one run: keys that it opened are kept until it ends, and not longer. */
export function handsFor(ref: ClientRef, policy: RotationPolicy, resources: Resources, keks: readonly Kek[]): Hands {
  const deployment = resources.deploymentOf(ref);
  const keys = openedKeys(ref, policy, resources, keks);
  const { turn, ...calls } = apiCalls(ref, deployment, resources);
  return {
    turn,
    effects: {
      ...calls,
      ...proofsOf(ref, keys.open, deployment, resources),
      generate: keys.generate,
      deliver: (record, delivery, when) => deliverSet(ref, record, delivery, when, keys.open, resources),
      hear: () => hearSigners(ref, resources.sinks),
      async serve(served) {
        if (resources.folder === null)
          throw new RekeydError('publish_failed', 'The config names no folder to publish to: set publish.path.');
        await resources.folder.write(ref, { keys: served });
      },
    },
  };
}

type Open = (record: ClientRecord, kid: string) => Promise<PrivateKey>;

function openedKeys(ref: ClientRef, policy: RotationPolicy, { store, generateKey }: Resources, keks: readonly Kek[]) {
  const opened = new Map<string, PrivateKey>();

  const open: Open = async (record, kid) => {
    const { thumbprint, alg } = keyOf(record, kid);
    const held = opened.get(thumbprint);
    if (held !== undefined) return held;
    const jwe = await store.sealedHalf(ref, thumbprint);
    if (jwe === null) {
      throw new RekeydError(
        'key_missing',
        `The private half of key ${kid} of ${ref} is not in the store. Restore the backup of Redis; if there is none, rotate the client with --compromised.`,
      );
    }
    const key = await openKey(jwe, { ref, thumbprint, alg }, keks);
    opened.set(thumbprint, key);
    return key;
  };

  async function generate(alg: Algorithm, urgent: boolean, signal: AbortSignal) {
    const { modulusLength } = policy;
    const { id, thumbprint, jwk, pem, privateKey } = await generateKey(alg, { modulusLength, urgent, signal });
    const jwe = await sealKey(privateKey, { ref, thumbprint }, keks);
    opened.set(thumbprint, privateKey);
    return { id, kid: thumbprint, thumbprint, alg, jwk, pem, jwe };
  }

  return { open, generate };
}

async function deliverSet(
  ref: ClientRef,
  record: ClientRecord,
  delivery: Parameters<Effects['deliver']>[1],
  { now, epoch }: Parameters<Effects['deliver']>[2],
  open: Open,
  { sinks, deploymentOf }: Resources,
): Promise<readonly LeftOut[]> {
  const leftOut: LeftOut[] = [];
  const optional = dispensable(record, delivery);
  async function sinkKey(kid: string | null): Promise<SinkKey | null> {
    if (kid === null) return null;
    const { alg, jwk } = keyOf(record, kid);
    try {
      return { kid, alg, jwk, privateKey: await open(record, kid) };
    } catch (error) {
      if (!optional.includes(kid) || !isUnopenable(error)) throw error;
      leftOut.push({ kid, why: error.message });
      return null;
    }
  }
  const current = await sinkKey(delivery.current);
  const next = await sinkKey(delivery.next);
  const previous = await sinkKey(delivery.previous);
  const { app } = splitReference(ref);
  const contents = {
    ref,
    clientId: record.clientId,
    // For the reader's information; signing does not need it.
    issuer: await deploymentOf(ref)
      .issuers.of(app)
      .catch(() => null),
    alg: (current ?? next)?.alg ?? null,
    current,
    next,
    previous,
    updatedAt: now,
    epoch,
  };
  await deliverToAll(sinks, contents);
  return leftOut;
}
