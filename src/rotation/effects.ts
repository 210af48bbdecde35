/** The {@link Effects} of a rotation on the real world: keys, store, sinks, API and issuer of one client. */
import type { Policy } from '../config/model.ts';
import { type ClientRef, splitReference } from '../core/client.ts';
import { dispensable } from '../core/desired.ts';
import { keyOf } from '../core/keys.ts';
import type { LeftOut } from '../core/progress.ts';
import type { Verdict } from '../core/proof.ts';
import type { Algorithm, ClientRecord, ManagedKey } from '../core/record.ts';
import type { SinkKey } from '../deliver/sink.ts';
import { isUnopenable, RekeydError } from '../errors.ts';
import { generateKey } from '../keys/generate.ts';
import type { PrivateKey } from '../keys/private-key.ts';
import { type Kek, openKey, sealKey } from '../keys/sealed.ts';
import { monotonic } from '../time.ts';
import type { Resources } from './resources.ts';
import type { Effects } from './steps.ts';

/** An issuer that answered a proof this recently, in ms, need not be asked whether it would. */
const ANSWERED_MS = 60_000;

/** Beyond the API's own deadline: time for the intent to reach the disk. */
const INTENT_SLACK_MS = 2_000;

/** For one run: keys that it opened are kept until it ends, and not longer. */
export function effectsFor(ref: ClientRef, policy: Policy, parts: Resources, keks: readonly Kek[]): Effects {
  const { store, sinks, folder, clock } = parts;
  const deployment = parts.deploymentOf(ref);
  const { app } = splitReference(ref);
  const opened = new Map<string, PrivateKey>();

  async function open(record: ClientRecord, kid: string): Promise<PrivateKey> {
    const { thumbprint, alg } = keyOf(record, kid);
    const held = opened.get(thumbprint);
    if (held !== undefined) return held;
    const jwe = await store.sealedKey(ref, thumbprint);
    if (jwe === null) {
      throw new RekeydError(
        'key_missing',
        `The private half of key ${kid} of ${ref} is not in the store. Restore the backup of Redis; if there is none, rotate the client with --compromised.`,
      );
    }
    const key = await openKey(jwe, { ref, kid: thumbprint, alg }, keks);
    opened.set(thumbprint, key);
    return key;
  }

  return {
    patchDeadlineMs: deployment.config.timeoutMs + INTENT_SLACK_MS,

    async generate(alg: Algorithm) {
      const { kid, jwk, pem, privateKey } = await generateKey(alg, { modulusLength: policy.modulusLength });
      const jwe = await sealKey(privateKey, { ref, kid }, keks);
      opened.set(kid, privateKey);
      return { kid, alg, jwk, pem, jwe };
    },

    async deliver(record, delivery, { now, epoch }) {
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
      const contents = {
        ref,
        clientId: record.clientId,
        issuer: await deployment.issuerOf(app).catch(() => null), // for the reader's information; signing does not need it
        alg: (current ?? next)?.alg ?? policy.alg,
        current,
        next,
        previous,
        updatedAt: now,
        epoch,
      };
      for (const sink of sinks) await sink.deliver(contents);
      return leftOut;
    },

    observe: (maxAgeMs) => deployment.directory.observe(ref, monotonic() - maxAgeMs),

    async serve(keys) {
      if (folder === null)
        throw new RekeydError('publish_failed', 'The config names no folder to publish to: set publish.path.');
      await folder.write(ref, { keys });
    },

    patch: (document, signal) => deployment.wacht.patchClient(ref, document, signal),

    prove: ask,

    async unreachable(record, key, signal) {
      if (monotonic() - (deployment.answered.get(app) ?? Number.NEGATIVE_INFINITY) < ANSWERED_MS) return null;
      const verdict = await ask(record, key, signal);
      return verdict.verdict === 'unknown' || verdict.verdict === 'throttled' ? verdict.message : null;
    },
  };

  async function ask(record: ClientRecord, key: ManagedKey, signal: AbortSignal): Promise<Verdict> {
    const privateKey = (await open(record, key.kid)).keyObject();
    const issuer = await deployment.issuerOf(app);
    const request = { issuer, clientId: record.clientId, alg: key.alg, kid: key.kid, privateKey, nowMs: clock.now() };
    const verdict = await deployment.proverOf(app).prove(request, signal);
    if (verdict.verdict === 'accepted' || verdict.verdict === 'refused') deployment.answered.set(app, monotonic());
    return verdict;
  }
}
