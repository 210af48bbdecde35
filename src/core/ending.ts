/** The ways a rotation ends or turns back: activated, failed, rolled back, abandoned, halted. */
import { declined } from './adoption.ts';
import { presentForm } from './begin.ts';
import { desiredDocument } from './desired.ts';
import { enrolled } from './enrolment.ts';
import { type Cause, completion } from './history.ts';
import { activeKey, findKey, holds, keyOf, remember, usesReportedKey, wasReported, withKey } from './keys.ts';
import type { Context } from './policy.ts';
import type { ClientRecord } from './record.ts';
import { isSuperseded, retire } from './retirement.ts';
import { undone, wayOutAgain } from './rollback.ts';
import { incomingKid, inPhase, mayBePublished, type Rotation, runningSummary } from './rotation.ts';
import { andThen, entry, type Transition, UPKEEP } from './transition.ts';
import { NO_TRIES } from './tries.ts';
import { counted } from './wave.ts';

type Time = Pick<Context, 'policy' | 'now'>;

/**
 * The proven key becomes the active one; the one before it starts on its way out. From now on the application has to take its key from us.
 * @param cause who says that it does
 */
export function activate(
  record: ClientRecord,
  rotation: Rotation,
  kid: string,
  context: Time,
  cause: Cause = rotation,
): Transition {
  const change = andThen(activated(record, rotation, kid, context), (next) =>
    enrolled(next, { ...cause, id: rotation.id }),
  );
  return andThen(change, (next) => undone(next, rotation, context.now));
}

function activated(record: ClientRecord, rotation: Rotation, kid: string, { policy, now }: Time): Transition {
  const old = activeKey(record);
  const isReported = old !== undefined && (meansKey(rotation, old.kid) || wasReported(record, old));
  const isUrgent = isReported || rotation.compromised !== null;
  const oldState = isReported ? ('compromised' as const) : ('deactivated' as const);
  const demoted = old === undefined ? record : withKey(record, old.kid, { state: oldState });
  const { state: from, activatedAt: before } = keyOf(record, kid);
  // A key that is put back is as old as it is.
  const { settled: _, ...promoted } = withKey(demoted, kid, { state: 'active', activatedAt: before ?? now });
  const until = isUrgent ? now : now + policy.overlapMs;
  const summary = { ...runningSummary(record, rotation), state: 'active' as const, kid, activeAt: now };
  const next: ClientRecord = {
    ...promoted,
    rotation: null,
    failure: null,
    server: { ...record.server, format: rotation.format },
  };
  const proof = findKey(record, kid)?.proof ?? null;
  const replaces = old?.kid ?? null;
  const told = [entry(next, rotation, 'key.activated', { kid, replaces, from, to: 'active', proof })];
  if (old !== undefined) {
    const data = { kid: old.kid, from: 'active', to: oldState, until: new Date(until).toISOString() };
    told.push(entry(next, rotation, isReported ? 'key.compromised' : 'key.deactivated', data));
  }
  if (rotation.strategy === 'cutover' && old === undefined) {
    // The foreign key is off the server, and there is no private half to prove it with.
    const ended = [{ ...summary, state: 'finished' as const, endedAt: now }];
    const entries = [...told, entry(next, rotation, 'rotation.completed', completion(summary))];
    return { record: next, entries, ended, ...counted(rotation, 'active') };
  }
  const phase = rotation.strategy === 'overlap' ? ('overlap' as const) : ('withdrawn' as const);
  const leaving = retire(record, old, { role: 'replaced', phase, until, rotation: summary });
  const retirements = [...record.retirements, leaving];
  return { record: { ...next, retirements }, entries: told, ...counted(rotation, 'active') };
}

/** The private half is gone. When it was the key that its rotation replaced, the rotation is finished. */
export function finished(record: ClientRecord, old: ClientRecord['retirements'][number], now: number): Transition {
  if (old.role === 'discarded') return { record, entries: [] };
  const ended = [{ ...old.rotation, state: 'finished' as const, endedAt: now }];
  return { record, entries: [entry(record, old.rotation, 'rotation.completed', completion(old.rotation))], ended };
}

/** The rotation is given up before anything of it was published: its key, if it has one, is thrown away. */
export function fail(record: ClientRecord, rotation: Rotation, why: string, context: Time): Transition {
  // After a compromise, a key that was thrown away for another may still be the one that is published.
  const isLeft = record.retirements.some((old) => isSuperseded(old, rotation) && old.phase === 'withdrawing');
  return isLeft ? halt(record, why) : end(record, rotation, 'failed', why, context);
}

/** The rotation is given up while its new key may, or may not, be published. */
export function giveUp(record: ClientRecord, rotation: Rotation, kid: string, why: string, context: Time): Transition {
  return mayBePublished(rotation) ? turnBack(record, rotation, kid, why) : fail(record, rotation, why, context);
}

/** The rollback was sent and confirmed. */
export function rolledBack(record: ClientRecord, rotation: Rotation, why: string, context: Time): Transition {
  const { before } = rotation;
  const { jwksUri } = context.policy;
  const isOurs = jwksUri !== null && record.server.observed.client.jwksUri === jwksUri;
  // The server cannot be made to forget an address.
  const stays = isOurs && before !== null && before.jwksUri !== jwksUri ? ADDRESS_STAYS : '';
  const restored = desiredDocument(record, context.policy);
  const incoming = keyOf(record, incomingKid(rotation) ?? '');
  if (restored === null && record.server.observed.client.keys.some((shown) => holds(shown, incoming.id))) {
    return halt(record, `${why}. The client had no key before, so there is none to put back`);
  }
  // An address of the client's own is no document of ours: what differs from ours there is no drift.
  const isTheirs = restored?.format === 'jwks_uri' && restored.uri !== jwksUri;
  const server = isTheirs ? { ...record.server, confirmedAt: null } : record.server;
  return end({ ...record, server }, rotation, 'rolled_back', `${why}${stays}`, context);
}

const ADDRESS_STAYS = '. The server goes on showing our jwks_uri, which serves the keys from before';

function end(
  record: ClientRecord,
  rotation: Rotation,
  state: 'failed' | 'rolled_back',
  why: string,
  context: Time,
): Transition {
  const left = discardIncoming(record, rotation, 'withdrawn', context.now);
  const ended = endWithout(record, left, rotation, state, why, context.now);
  // One that failed before anything was published is tried again, unless a person has ended it.
  const isOver = state === 'rolled_back' || rotation.abandoned !== null;
  return rotation.adopting && isOver ? declined(ended, rotation, why, context) : ended;
}

/** A rotation ends without a new key. A reported key that stays in use is remembered as such: nothing else would tell of it any more. */
export function endWithout(
  record: ClientRecord,
  left: ClientRecord,
  rotation: Rotation,
  state: 'failed' | 'rolled_back',
  why: string,
  now: number,
): Transition {
  const kid = incomingKid(rotation);
  const ended: ClientRecord = { ...rememberReported(left, rotation, now), rotation: null };
  const failure = usesReportedKey(ended) ? `${why}. ${STILL_IN_USE}` : why;
  const next: ClientRecord = { ...ended, failure };
  return {
    record: next,
    entries: [
      entry(next, rotation, `rotation.${state}`, {
        kid,
        outcome: state,
        sent: mayBePublished(rotation),
        error: failure,
      }),
    ],
    ended: [{ ...runningSummary(record, rotation), state, endedAt: now, error: failure }],
    ...counted(rotation, 'failed'),
  };
}

const STILL_IN_USE = 'The key in use was reported as compromised and STILL SIGNS IN';

/** A compromise is about the key in use: so much stays known of it when its rotation is about something else, or over. */
export function rememberReported(record: ClientRecord, rotation: Rotation, now: number): ClientRecord {
  const active = activeKey(record);
  if (active === undefined || !meansKey(rotation, active.kid)) return record;
  return remember(record, [{ id: active.id, kid: active.kid, at: now, compromised: true }]);
}

/** True for the key that a compromise is about: the one that it names, or the one in use. */
function meansKey({ compromised }: Rotation, inUse: string): boolean {
  return compromised !== null && (compromised.kid ?? inUse) === inUse;
}

/** @param phase of a key that may have been published: whatever was, ends by a proof */
export function discardIncoming(
  record: ClientRecord,
  rotation: Rotation,
  phase: 'withdrawing' | 'withdrawn',
  now: number,
): ClientRecord {
  const kid = incomingKid(rotation);
  if (kid === null) return record;
  const { rollsBack } = rotation;
  if (rollsBack !== undefined) return wayOutAgain(record, { ...rotation, rollsBack }, phase, now);
  const how = { role: 'discarded', until: now, rotation: runningSummary(record, rotation) } as const;
  const leaving = retire(record, keyOf(record, kid), { ...how, phase: mayBePublished(rotation) ? phase : 'refused' });
  return { ...record, retirements: [...record.retirements, leaving] };
}

/** The new key must not stay published. After a compromise there is no rollback: the client waits for a person instead. */
export function turnBack(record: ClientRecord, rotation: Rotation, kid: string, why: string): Transition {
  if (rotation.compromised !== null) return halt(record, why);
  return { record: reverting(record, rotation, kid, why), entries: [] };
}

/**
 * After a compromise the old key must go, so a new key that the server refuses is thrown away for another. The server may have objected to a new alg or
 * format, so the other key has those of the key in use. Not for ever: a person may have to look.
 */
export function anotherKey(record: ClientRecord, rotation: Rotation, why: string, context: Context): Transition {
  if (rotation.keysMade >= MOST_KEYS) {
    return mayBePublished(rotation) ? halt(record, why) : fail(record, rotation, why, context);
  }
  const discarded = discardIncoming(record, rotation, 'withdrawing', context.now);
  const { alg, format } = presentForm(record, context.policy);
  const again = { ...inPhase(rotation, { name: 'requested' }), alg: alg ?? rotation.alg, format };
  return { record: { ...discarded, rotation: { ...again, tries: { ...NO_TRIES, error: why } } }, entries: [] };
}

const MOST_KEYS = 3;

/** Nothing more is done for this client until somebody asks: a person has to look. */
export function halt(record: ClientRecord, why: string): Transition {
  const { rotation } = record;
  const next: ClientRecord = { ...record, halted: why };
  if (rotation === null) return { record: next, entries: [entry(next, UPKEEP, 'client.halted', { error: why })] };
  const data = { kid: incomingKid(rotation), outcome: 'failed', error: why };
  return {
    record: next,
    entries: [entry(next, rotation, 'client.halted', { error: why }), entry(next, rotation, 'rotation.failed', data)],
    ...counted(rotation, 'failed'),
  };
}

/** From now on the old document is put back. */
export function reverting(record: ClientRecord, rotation: Rotation, kid: string, why: string): ClientRecord {
  const back = inPhase(rotation, { name: 'reverting', kid, why });
  return { ...record, rotation: { ...back, abandoned: null, tries: { ...NO_TRIES, error: why } } };
}
