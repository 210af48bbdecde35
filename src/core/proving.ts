/** What a proof does to the record: the new key is seen to be accepted, and an old one to be refused. */
import type { Action } from './action.ts';
import { anotherKey, finished, turnBack } from './ending.ts';
import { marked, type RotationSummary } from './history.ts';
import { bury, keyOf, withKey } from './keys.ts';
import type { Context } from './policy.ts';
import type { Verdict } from './proof.ts';
import type { ClientRecord } from './record.ts';
import { isSame, type Retirement, withRetirement } from './retirement.ts';
import { inPhase, type Rotation } from './rotation.ts';
import { failedStep, throttledStep, withTries } from './setback.ts';
import { entry, type Transition } from './transition.ts';
import { afterFailure, afterRefusal, afterThrottling, NO_TRIES } from './tries.ts';

/**
 * A refusal that may have another reason is believed the third time: a new key that overlaps may still be hidden by the server's cache, and many
 * servers say no more than `invalid_client` (RFC 6749 section 5.2) to an old one.
 */
const REFUSALS_BELIEVED = 3;

export function provedNew(record: ClientRecord, kid: string, proof: Verdict, context: Context): Transition {
  const { rotation } = record;
  if (rotation === null) return { record, entries: [] };
  switch (proof.verdict) {
    case 'accepted':
      return proven(record, rotation, kid, context.now);
    case 'throttled':
      return throttledStep(record, 'rotation', { ms: proof.retryAfterMs, why: proof.message }, context);
    case 'unknown':
      return failedStep(record, 'rotation', noResult(kid, proof.message), context);
    case 'refused': {
      const why = `the server refuses the new key ${kid} (${proof.status}): ${proof.message}`;
      return refusedNew(record, rotation, kid, why, context);
    }
    default:
      return proof satisfies never;
  }
}

/** True when this proof shows, as well as can be told, that the server takes one key: it refuses the new one beside the old one, and not for the first time. */
export function refusesOverlap({ rotation }: ClientRecord, kid: string, { verdict }: Verdict): boolean {
  if (rotation?.phase.name !== 'published' || rotation.phase.kid !== kid || rotation.compromised !== null) return false;
  return verdict === 'refused' && rotation.tries.refused + 1 >= REFUSALS_BELIEVED;
}

function proven(record: ClientRecord, rotation: Rotation, kid: string, now: number): Transition {
  const marks = marked(rotation.marks, { at: now, what: 'accepted', kid });
  const next = { ...inPhase(rotation, { name: 'proven', kid }), marks, tries: NO_TRIES };
  const data = { kid, expected: 'accepted', verdict: 'accepted' };
  return {
    record: withKey({ ...record, rotation: next }, kid, { proof: 'accepted' }),
    entries: [entry(record, rotation, 'key.proven', data)],
  };
}

function refusedNew(record: ClientRecord, rotation: Rotation, kid: string, why: string, context: Context): Transition {
  // While the old key still works, a refusal may be a cache; after a cutover every second counts, and a rollback is possible.
  const isFinal = rotation.strategy === 'cutover' && rotation.compromised === null;
  const told: ClientRecord = {
    ...record,
    rotation: { ...rotation, marks: marked(rotation.marks, { at: context.now, what: 'refused', kid }) },
  };
  const hiddenMs = mayBeHiddenMs(rotation, context);
  if (hiddenMs > 0) {
    const ms = Math.min(hiddenMs, hiddenPaceMs(context));
    return { record: withTries(told, 'rotation', (tries) => afterThrottling(tries, ms, why, context)), entries: [] };
  }
  if (!isFinal && rotation.tries.refused + 1 < REFUSALS_BELIEVED) {
    return { record: withTries(told, 'rotation', (tries) => afterRefusal(tries, why, context)), entries: [] };
  }
  if (rotation.compromised !== null) return anotherKey(told, told.rotation ?? rotation, why, context);
  return turnBack(told, told.rotation ?? rotation, kid, why);
}

/**
 * For how long, in ms, the server may still go by the set that it fetched from the same `jwks_uri` before: there the new key is unknown, and the old one
 * signs in. A refusal says nothing of the key until then, and nobody is locked out. Where the PATCH changed the address or the alg, the old key signs in no
 * more, so every second counts.
 */
function mayBeHiddenMs({ format, phase, before, alg }: Rotation, { policy, now }: Context): number {
  if (format !== 'jwks_uri' || (phase.name !== 'cut_over' && phase.name !== 'published')) return 0;
  const isSame = before !== null && before.jwksUri === policy.jwksUri && before.alg === alg;
  return isSame ? phase.at + policy.propagationMs - now : 0;
}

/** How often it is asked meanwhile, in ms. Such a refusal is no failure, so it must not use up attempts or lengthen the backoff. */
function hiddenPaceMs({ policy: { propagationMs, backoff } }: Context): number {
  return Math.max(backoff.baseMs, propagationMs / 10);
}

/** @param name the `kid` that the assertion had */
export function provedOld(
  record: ClientRecord,
  { kid, name, old }: Extract<Action, { do: 'prove_old' }>,
  proof: Verdict,
  context: Context,
): Transition {
  const later = (why: string): Transition => ({
    record: withTries(record, old, (tries) => afterFailure(tries, why, context)),
    entries: [],
  });
  switch (proof.verdict) {
    case 'accepted': {
      const change = later(`the server still accepts the old key ${name}`);
      // What was refused before was not the key.
      return { ...change, record: withTries(change.record, old, (tries) => ({ ...tries, refused: 0 })) };
    }
    case 'throttled':
      return throttledStep(record, old, { ms: proof.retryAfterMs, why: proof.message }, context);
    case 'unknown':
      return later(noResult(name, proof.message));
    case 'refused': {
      if (proof.claims && old.tries.refused + 1 < REFUSALS_BELIEVED) {
        const why = noResult(name, proof.message);
        return { record: withTries(record, old, (tries) => afterRefusal(tries, why, context)), entries: [] };
      }
      // Under its other names the server may still take it.
      const left = old.names.filter((other) => other !== name).length;
      const data = { kid, name, expected: 'refused', verdict: 'refused', left };
      return {
        record: refusedUnder(record, old, name, context.now),
        entries: [entry(record, old.rotation, 'key.proven', data)],
      };
    }
    default:
      return proof satisfies never;
  }
}

function refusedUnder(record: ClientRecord, old: Retirement, name: string, now: number): ClientRecord {
  const names = old.names.filter((other) => other !== name);
  const marks = marked(old.rotation.marks, { at: now, what: 'refused', kid: old.kid });
  const phase = names.length === 0 ? 'refused' : old.phase;
  const told = phase === 'refused' ? refusedSince(old.rotation, record, now) : old.rotation;
  return withRetirement(record, old, { names, phase, tries: NO_TRIES, rotation: { ...told, marks } });
}

/** A token that was issued just before lives as long as the server says. */
function refusedSince(summary: RotationSummary, { server }: ClientRecord, now: number): RotationSummary {
  const { exposure } = summary;
  const { tokenSeconds } = server.observed.client;
  if (exposure === undefined) return summary;
  const tokensUntil = tokenSeconds === undefined ? null : now + tokenSeconds * 1000;
  return { ...summary, exposure: { ...exposure, refusedAt: now, tokensUntil } };
}

/**
 * The private half of an old key cannot be opened, so no assertion shows that the server refuses it. It was taken off the server, which was read back:
 * that suffices. Not at once, since a KEK that is missing may be back in a moment.
 */
export function unprovable(record: ClientRecord, old: Retirement, why: string, context: Context): Transition {
  const { failed } = old.tries;
  if (failed + 1 < context.policy.attempts) {
    return { record: withTries(record, old, (tries) => afterFailure(tries, why, context)), entries: [] };
  }
  const data = { kid: old.kid, expected: 'refused', verdict: 'unknown', error: why };
  return { record: takenRefused(record, old).record, entries: [entry(record, old.rotation, 'key.proven', data)] };
}

function noResult(kid: string, message: string): string {
  return `the proof of key ${kid} has no result: ${message}`;
}

/** `prove: read_back`: it suffices that the document was read back. */
export function takenUnproven(record: ClientRecord, kid: string): Transition {
  const { rotation } = record;
  if (rotation === null) return { record, entries: [] };
  const next = { ...inPhase(rotation, { name: 'proven', kid }), tries: NO_TRIES };
  return { record: withKey({ ...record, rotation: next }, kid, { proof: 'read_back' }), entries: [] };
}

/** Without a proof: it is read back to be off the server, or there is nothing to prove it with. */
export function takenRefused(record: ClientRecord, old: Retirement): Transition {
  return { record: withRetirement(record, old, { phase: 'refused', names: [], tries: NO_TRIES }), entries: [] };
}

/** The private half is erased with this. */
export function destroyed(record: ClientRecord, old: Retirement, { now }: Pick<Context, 'now'>): Transition {
  const { kid, rotation } = old;
  const left = { ...record, retirements: record.retirements.filter((other) => !isSame(other, old)) };
  const next = kid === null ? left : bury(left, kid, now);
  const from = kid === null ? null : keyOf(record, kid).state;
  const told = kid === null ? [] : [entry(next, rotation, 'key.destroyed', { kid, from, to: 'destroyed' })];
  const end = finished(next, old, now);
  return { ...end, entries: [...told, ...end.entries] };
}
