/** Sign-ins at the issuer of one client: whether a key is accepted there, and whether anybody is answered at all. */
import { type ClientRef, splitReference } from '../core/client.ts';
import type { ManagedKey } from '../core/keys.ts';
import { isPressing } from '../core/pressing.ts';
import type { Verdict } from '../core/proof.ts';
import { refusesOverlap } from '../core/proving.ts';
import type { ClientRecord } from '../core/record.ts';
import type { PrivateKey } from '../keys/private-key.ts';
import { monotonic } from '../time.ts';
import { throttledMs } from './deployment.ts';
import { appOf, strategyEntry } from './facts.ts';
import type { DeploymentResources, Resources } from './resources.ts';
import type { Effects } from './run.ts';

/** An issuer that answered a proof this recently, in ms, need not be asked whether it would. */
const ANSWERED_MS = 60_000;

/** @param open the private half of a key of the record */
export function proofsOf(
  ref: ClientRef,
  open: (record: ClientRecord, kid: string) => Promise<PrivateKey>,
  deployment: DeploymentResources,
  { clock, facts, store, log }: Resources,
): Pick<Effects, 'prove' | 'showUnknown' | 'unreachable'> {
  const { app } = splitReference(ref);
  const answeredAt = () => deployment.answered.get(app) ?? Number.NEGATIVE_INFINITY;

  async function prove(record: ClientRecord, key: ManagedKey, name: string, signal: AbortSignal): Promise<Verdict> {
    const { clientId } = record;
    const privateKey = (await open(record, key.kid)).keyObject();
    const issuer = await deployment.issuers.of(app);
    const verdict = await deployment
      .proverOf(app)
      .prove(
        { issuer, clientId, alg: key.alg, kid: name, privateKey, nowMs: clock.now(), urgent: isPressing(record) },
        signal,
      );
    await learnFrom(verdict, record, key, name);
    if (verdict.verdict !== 'throttled') return verdict;
    return { ...verdict, retryAfterMs: throttledMs(deployment, verdict.retryAfterMs) };
  }

  /** What a verdict tells of issuer and server, beside the key. */
  async function learnFrom(verdict: Verdict, record: ClientRecord, { alg }: ManagedKey, name: string): Promise<void> {
    // A domain that is not the app's any more refuses everybody.
    if (verdict.verdict === 'refused') await deployment.issuers.confirm(app);
    if (verdict.verdict === 'accepted' || verdict.verdict === 'refused') deployment.answered.set(app, monotonic());
    if (verdict.verdict === 'accepted') await facts.noteProven(ref, alg);
    if (refusesOverlap(record, name, verdict) && (await facts.noteRefusedOverlap(ref))) {
      const why = `${ref}: the new key is refused beside the old one, so strategy auto is a cutover until the next probe`;
      await store.append([strategyEntry(appOf(ref), 'cutover', why, { actor: 'rekeyd' })]);
      log.warn({ client: ref, app: appOf(ref) }, why);
    }
  }

  return {
    prove,
    async showUnknown({ clientId }, { alg }, signal) {
      const issuer = await deployment.issuers.of(app);
      await deployment.proverOf(app).control({ issuer, clientId, alg, nowMs: clock.now() }, signal);
    },
    async unreachable(record, key, signal) {
      if (monotonic() - answeredAt() < ANSWERED_MS) return null;
      const verdict = await prove(record, key, key.kid, signal);
      return verdict.verdict === 'unknown' || verdict.verdict === 'throttled' ? verdict : null;
    },
  };
}
