/** The {@link Effects} of a rotation on the real world: keys, store, sinks, API and issuer of one client. */
import { type ClientRef, splitReference } from '../core/client.ts';
import type { LeftOut } from '../core/delivering.ts';
import { type Algorithm, keyOf, type ManagedKey } from '../core/keys.ts';
import { isPressing } from '../core/pressing.ts';
import type { Verdict } from '../core/proof.ts';
import { refusesOverlap } from '../core/proving.ts';
import type { PatchOutcome } from '../core/publishing.ts';
import type { ClientRecord } from '../core/record.ts';
import { dispensable } from '../core/signers.ts';
import type { SinkKey } from '../deliver/sink.ts';
import { isUnopenable, RekeydError } from '../errors.ts';
import type { Kek } from '../keys/kek.ts';
import type { PrivateKey } from '../keys/private-key.ts';
import { openKey, sealKey } from '../keys/sealed.ts';
import type { Turn } from '../store/deployments.ts';
import { monotonic } from '../time.ts';
import { ApiError } from '../wacht/api-error.ts';
import type { Look } from '../wacht/looks.ts';
import { deliverToAll } from './deliver-to-all.ts';
import { noteAccepted, noteAnswer, throttledMs } from './deployment.ts';
import { appOf, strategyEntry } from './facts.ts';
import { hearSigners } from './hearing.ts';
import type { RotationPolicy } from './policy.ts';
import type { DeploymentResources, Resources } from './resources.ts';
import type { Effects } from './run.ts';

/** An issuer that answered a proof this recently, in ms, need not be asked whether it would. */
const ANSWERED_MS = 60_000;

/** Beyond the API's own deadline: time for the intent to reach the disk. */
const INTENT_SLACK_MS = 2_000;

/** The effects of one run, and its turns of the API budget. */
export interface Hands {
  readonly effects: Effects;
  readonly turn: (urgent: boolean) => Promise<Turn>;
}

/** For one run: keys that it opened are kept until it ends, and not longer. */
export function handsFor(ref: ClientRef, policy: RotationPolicy, resources: Resources, keks: readonly Kek[]): Hands {
  const deployment = resources.deploymentOf(ref);
  const keys = openedKeys(ref, policy, resources, keks);
  /** When the next call succeeds, a pause or a row of refusals is over: that is noted. */
  let isWatched = false;
  /** A try is a PATCH, with the look that comes before it. */
  let isOnTry = false;
  /** After a look its PATCH goes at once: if it waited for a turn of its own, the look would be too old by then. */
  let hasLooked = false;

  async function look(urgent: boolean, signal: AbortSignal): Promise<Look> {
    try {
      const seen = await deployment.looks.look(ref, urgent, signal);
      hasLooked = true;
      return seen;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const { reply } = error;
      await noteAnswer(resources, deployment, ref, reply);
      if (reply.class !== 'throttled') throw error;
      throw new ApiError(`Looking at ${ref}`, { ...reply, retryAfterMs: throttledMs(deployment, reply.retryAfterMs) });
    }
  }

  return {
    async turn(urgent) {
      if (hasLooked) {
        await deployment.countCall();
        return { go: true, isWatched, isTry: isOnTry };
      }
      if (isOnTry) return { go: true, isWatched, isTry: true };
      const answer = await resources.store.take(deployment.config.id, deployment.config.rateLimit, urgent);
      if (answer.go) ({ isWatched, isTry: isOnTry } = answer);
      return answer;
    },
    effects: {
      patchDeadlineMs: deployment.config.timeoutMs + INTENT_SLACK_MS,
      generate: keys.generate,
      deliver: (record, delivery, when) => deliverSet(ref, record, delivery, when, keys.open, resources),

      hear: () => hearSigners(ref, resources.sinks),

      look,

      async lookAgain(urgent, signal) {
        await deployment.countCall();
        return look(urgent, signal);
      },

      async serve(served) {
        if (resources.folder === null)
          throw new RekeydError('publish_failed', 'The config names no folder to publish to: set publish.path.');
        await resources.folder.write(ref, { keys: served });
      },

      async patch(body, signal): Promise<PatchOutcome> {
        [isOnTry, hasLooked] = [false, false];
        const outcome = await deployment.wacht.patchClient(ref, body, signal);
        if (outcome.class !== 'done') await noteAnswer(resources, deployment, ref, outcome);
        else if (isWatched) await noteAccepted(resources, deployment.config.id);
        if (outcome.class !== 'throttled') return outcome;
        return { ...outcome, retryAfterMs: throttledMs(deployment, outcome.retryAfterMs) };
      },

      prove: (record, key, name, signal) => prove(ref, record, key, name, signal, keys.open, deployment, resources),

      async showUnknown({ clientId }, { alg }, signal) {
        const { app } = splitReference(ref);
        const issuer = await deployment.issuers.of(app);
        await deployment.proverOf(app).control({ issuer, clientId, alg, nowMs: resources.clock.now() }, signal);
      },

      async unreachable(record, key, signal) {
        const { app } = splitReference(ref);
        if (monotonic() - (deployment.answered.get(app) ?? Number.NEGATIVE_INFINITY) < ANSWERED_MS) return null;
        const verdict = await prove(ref, record, key, key.kid, signal, keys.open, deployment, resources);
        return verdict.verdict === 'unknown' || verdict.verdict === 'throttled' ? verdict : null;
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

async function prove(
  ref: ClientRef,
  record: ClientRecord,
  key: ManagedKey,
  name: string,
  signal: AbortSignal,
  open: Open,
  deployment: DeploymentResources,
  { clock, facts, store, log }: Resources,
): Promise<Verdict> {
  const { app } = splitReference(ref);
  const privateKey = (await open(record, key.kid)).keyObject();
  const issuer = await deployment.issuers.of(app);
  const request = {
    issuer,
    clientId: record.clientId,
    alg: key.alg,
    kid: name,
    privateKey,
    nowMs: clock.now(),
    urgent: isPressing(record),
  };
  const verdict = await deployment.proverOf(app).prove(request, signal);
  // A domain that is not the app's any more refuses everybody.
  if (verdict.verdict === 'refused') await deployment.issuers.confirm(app);
  if (verdict.verdict === 'accepted' || verdict.verdict === 'refused') deployment.answered.set(app, monotonic());
  if (verdict.verdict === 'accepted') await facts.noteProven(ref, key.alg);
  if (refusesOverlap(record, name, verdict) && (await facts.noteRefusedOverlap(ref))) {
    const why = `${ref}: the new key is refused beside the old one, so strategy auto is a cutover until the next probe`;
    await store.append([strategyEntry(appOf(ref), 'cutover', why, { actor: 'rekeyd' })]);
    log.warn({ client: ref, app: appOf(ref) }, why);
  }
  if (verdict.verdict !== 'throttled') return verdict;
  return { ...verdict, retryAfterMs: throttledMs(deployment, verdict.retryAfterMs) };
}
