/** What each step does to the world outside the record. One function per step; each answers with the transition for what it came to. */
import type { Action } from '../core/action.ts';
import { chosen } from '../core/choosing.ts';
import { delivered, generated, notDelivered, unknownDelivery } from '../core/delivering.ts';
import { observed } from '../core/enrolment.ts';
import { heard } from '../core/heard.ts';
import { activeKey, holds, keyOf, type ManagedKey } from '../core/keys.ts';
import { isPressing } from '../core/pressing.ts';
import { provedNew, provedOld, unprovable } from '../core/proving.ts';
import type { ClientRecord } from '../core/record.ts';
import { incomingKid } from '../core/rotation.ts';
import { failedStep } from '../core/setback.ts';
import { standbyFailed, standbyMade } from '../core/standby.ts';
import { andThen } from '../core/transition.ts';
import { afterFailure, type Tries } from '../core/tries.ts';
import { SinkOutdated } from '../deliver/sink.ts';
import { isUnopenable, messageOf } from '../errors.ts';
import type { Change } from './commit.ts';
import type { Outside } from './decide.ts';
import { missed } from './missed.ts';
import { look, patch, serve } from './publish-steps.ts';
import type { Effects, Run, Step } from './run.ts';

export function perform(action: Action, record: ClientRecord, effects: Effects, run: Run): Promise<Change> {
  const outside = action as Outside; // `decide` has taken all others
  switch (outside.do) {
    case 'generate':
      return generate(record, outside, effects, run);
    case 'make_standby':
      return makeStandby(record, outside, effects, run);
    case 'deliver':
      return deliver(record, outside, effects, run);
    case 'hear':
      return hear(record, effects, run);
    case 'look':
      return look(record, outside, effects, run);
    case 'serve':
      return serve(record, outside, effects, run);
    case 'patch':
      return patch(record, outside, effects, run);
    case 'prove_new':
      return proveNew(record, outside, effects, run);
    case 'prove_old':
      return proveOld(record, outside, effects, run);
    case 'choose':
      return choose(record, outside, effects, run);
    default:
      return outside satisfies never;
  }
}

const NOTHING_SEEN = { client: null, ageMs: 0 };

async function generate(
  record: ClientRecord,
  { rotation }: Step<'generate'>,
  effects: Effects,
  run: Run,
): Promise<Change> {
  try {
    const { jwe, ...key } = await effects.generate(rotation.alg, isPressing(record), run.signal);
    const change = generated(record, rotation, key, run.context());
    return { ...change, seal: [{ thumbprint: key.thumbprint, jwe }] };
  } catch (error) {
    // Nothing failed: the next worker makes the key.
    run.signal.throwIfAborted();
    return missed(record, 'rotation', error, run);
  }
}

async function makeStandby(
  record: ClientRecord,
  { alg }: Step<'make_standby'>,
  effects: Effects,
  run: Run,
): Promise<Change> {
  try {
    const { jwe, ...key } = await effects.generate(alg, false, run.signal);
    return { ...standbyMade(record, key, run.context()), seal: [{ thumbprint: key.thumbprint, jwe }] };
  } catch (error) {
    run.signal.throwIfAborted();
    const failed = (tries: Tries) => afterFailure(tries, messageOf(error), run.context());
    return { record: standbyFailed(record, failed), entries: [] };
  }
}

async function deliver(
  record: ClientRecord,
  { delivery, owner }: Step<'deliver'>,
  effects: Effects,
  run: Run,
): Promise<Change> {
  if (run.outdated !== null) return notDelivered(record, owner, run.outdated, run.context());
  try {
    const leftOut = await effects.deliver(record, delivery, { now: run.now(), epoch: run.epoch });
    return delivered(record, delivery, owner, run.context(), leftOut);
  } catch (error) {
    if (error instanceof SinkOutdated) throw error;
    return missed(unknownDelivery(record), owner, error, run);
  }
}

async function hear(record: ClientRecord, effects: Effects, run: Run): Promise<Change> {
  const hearing = await effects.hear();
  return heard(record, hearing, run.context());
}

async function proveNew(record: ClientRecord, { kid }: Step<'prove_new'>, effects: Effects, run: Run): Promise<Change> {
  try {
    const verdict = await effects.prove(record, keyOf(record, kid), kid, run.signal);
    return provedNew(record, kid, verdict, run.context());
  } catch (error) {
    return missed(record, 'rotation', error, run);
  }
}

async function proveOld(record: ClientRecord, step: Step<'prove_old'>, effects: Effects, run: Run): Promise<Change> {
  try {
    const key = keyOf(record, step.kid);
    const ask = () => effects.prove(record, key, step.name, run.signal);
    let verdict = await ask();
    if (verdict.verdict === 'accepted' && record.server.format === 'jwks_uri') {
      // oidc-provider keeps the set that it fetched until an assertion names a key that is not in it. Until then it takes the old key, so show it such a key.
      await effects.showUnknown(record, key, run.signal);
      verdict = await ask();
    }
    return provedOld(record, step, verdict, run.context());
  } catch (error) {
    return isUnopenable(error)
      ? unprovable(record, step.old, messageOf(error), run.context())
      : missed(record, step.old, error, run);
  }
}

/**
 * Which key the server takes, of a rotation that a person has ended: the old one where it signs in, else the new one where that does. A key that nobody
 * can sign in with, or that no sign-in has shown to work, is never chosen. Where the server shows it, the old document is put back.
 */
async function choose(record: ClientRecord, { rotation }: Step<'choose'>, effects: Effects, run: Run): Promise<Change> {
  const incoming = incomingKid(rotation);
  const fresh = incoming === null ? undefined : keyOf(record, incoming);
  const why: string[] = [];
  const unanswered = (error: unknown) => {
    why.push(messageOf(error));
    return null;
  };
  const accepts = async (key: ManagedKey | undefined) => {
    if (key === undefined) return false;
    const verdict = await effects.prove(record, key, key.kid, run.signal).catch(unanswered);
    if (verdict?.verdict === 'unknown' || verdict?.verdict === 'throttled') why.push(verdict.message);
    return verdict?.verdict === 'accepted';
  };
  if (await accepts(activeKey(record))) return chosen(record, rotation, 'old', run.context());
  if (await accepts(fresh)) return chosen(record, rotation, 'new', run.context());
  const { client, ageMs } = (await effects.lookAgain(true, run.signal).catch(unanswered)) ?? NOTHING_SEEN;
  if (client === null) {
    return failedStep(
      record,
      'rotation',
      `it is not known which key the server takes: ${[...new Set(why)].join('; ') || 'the API shows no such client'}`,
      run.context(),
    );
  }
  const isShown = fresh !== undefined && client.keys.some((shown) => holds(shown, fresh.id));
  const seen = observed(record, client, run.policy, run.now() - ageMs);
  return andThen(seen, (next) => chosen(next, rotation, isShown ? 'neither' : 'old', run.context()));
}
