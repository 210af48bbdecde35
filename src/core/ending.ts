/** The ways a rotation ends or turns back: activated, failed, rolled back, halted, completed. */
import { type Change, entry, prune, putOff, relieved, summarize } from './change.ts';
import { dropForeign } from './desired.ts';
import { activeKey, findKey, incomingKid, isReplaced, keyOf, withKey } from './keys.ts';
import { UNSETTLED } from './plan.ts';
import type { Context } from './policy.ts';
import { samePublicKey } from './public-key.ts';
import type { ClientRecord, Retirement, Rotation } from './record.ts';

/** The proven key becomes the active one; the one before it starts on its way out. */
export function activate(
  record: ClientRecord,
  rotation: Rotation,
  kid: string,
  { policy, now }: Pick<Context, 'policy' | 'now'>,
): Change {
  const old = activeKey(record);
  const leaked = rotation.compromised !== null;
  const oldState = leaked ? ('compromised' as const) : ('deactivated' as const);
  // From here on there is no way back that would need them.
  const kept = dropForeign(record, policy);
  const demoted = old === undefined ? kept : withKey(kept, old.kid, { state: oldState });
  const promoted = withKey(demoted, kid, { state: 'active', activatedAt: now });
  const until = leaked ? now : now + policy.overlapMs;
  const leaving = retirementOf(rotation, old?.kid ?? null, until);
  const next = summarize(
    relieved({
      ...promoted,
      format: rotation.format,
      rotation: null,
      retiring: leaving === null ? record.retiring : [...record.retiring, leaving],
    }),
    rotation.id,
    { state: 'active', kid, activeAt: now },
  );
  const proof = findKey(record, kid)?.proof ?? null;
  const entries = [
    entry(
      next,
      'key.activated',
      { kid, replaces: old?.kid ?? null, from: 'pre-active', to: 'active', proof },
      rotation.id,
    ),
  ];
  if (old !== undefined) {
    const type = leaked ? 'key.compromised' : 'key.deactivated';
    entries.push(
      entry(
        next,
        type,
        { kid: old.kid, from: 'active', to: oldState, until: new Date(until).toISOString() },
        rotation.id,
      ),
    );
  }
  if (leaving !== null) return { record: next, entries };
  const completed = complete(next, rotation.id, now);
  return { record: completed.record, entries: [...entries, ...completed.entries] };
}

/** An overlap always has something to withdraw, if only the order of the keys; a cutover without an old key of ours is over at once. */
function retirementOf(rotation: Rotation, kid: string | null, until: number): Retirement | null {
  const phase = 'waiting' as const;
  if (rotation.strategy === 'overlap') return { kind: 'overlap', kid, rotation: rotation.id, phase, until };
  return kid === null ? null : { kind: 'cutover', kid, rotation: rotation.id, phase, until };
}

function complete(record: ClientRecord, rotation: string, now: number): Change {
  const next = summarize(record, rotation, { state: 'finished', endedAt: now });
  return { record: next, entries: [entry(next, 'rotation.completed', { outcome: 'finished' }, rotation)] };
}

/** The private half is gone; when it was the last old key of its rotation, the rotation is finished. */
export function destroyed(record: ClientRecord, retirement: Retirement, { now }: Context): Change {
  const { kid, rotation } = retirement;
  const buried = kid === null ? record : withKey(record, kid, { state: 'destroyed', destroyedAt: now });
  const next = prune(relieved({ ...buried, retiring: record.retiring.filter((old) => old !== retirement) }));
  const from = kid === null ? null : (findKey(record, kid)?.state ?? null);
  const entries = kid === null ? [] : [entry(next, 'key.destroyed', { kid, from, to: 'destroyed' }, rotation)];
  if (retirement.kind === 'discard') return { record: next, entries };
  const completed = complete(next, rotation, now);
  return { record: completed.record, entries: [...entries, ...completed.entries] };
}

/** The rotation is given up before anything of it was published: its key, if it has one, is thrown away. */
export function fail(record: ClientRecord, rotation: Rotation, why: string, { now }: Context): Change {
  // After a compromise, a key that was thrown away for another may still be the one that is published.
  const leftover = record.retiring.some((old) => isReplaced(old, rotation));
  return leftover ? halt(record, why) : end(record, rotation, 'failed', why, now);
}

/** The rotation is given up while its new key may, or may not, be published. */
export function giveUp(record: ClientRecord, rotation: Rotation, kid: string, why: string, context: Context): Change {
  return mayBePublished(record, rotation, kid)
    ? turnBack(record, rotation, kid, why)
    : fail(record, rotation, why, context);
}

/** False only when nothing that holds the key was written, and nothing that holds it can still arrive. */
function mayBePublished(record: ClientRecord, rotation: Rotation, kid: string): boolean {
  const { inFlight, observed } = record;
  const isServed = rotation.format === 'jwks_uri' || observed.client.jwksUri !== null;
  if (inFlight !== null || observed.at === UNSETTLED || isServed) return true;
  const { jwk, pem } = keyOf(record, kid);
  return observed.client.keys.some((key) => samePublicKey(key, { ...jwk, public_key_pem: pem }));
}

/** The way back was taken and confirmed. */
export function rolledBack(record: ClientRecord, rotation: Rotation, why: string, { now }: Context): Change {
  return end(record, rotation, 'rolled_back', why, now);
}

function end(
  record: ClientRecord,
  rotation: Rotation,
  state: 'failed' | 'rolled_back',
  why: string,
  now: number,
): Change {
  const ended = summarize(
    discardIncoming({ ...relieved(record), lastError: why, rotation: null }, rotation),
    rotation.id,
    {
      state,
      endedAt: now,
      error: why,
    },
  );
  const kid = incomingKid(rotation);
  return {
    record: ended,
    entries: [entry(ended, `rotation.${state}`, { kid, outcome: state, error: why }, rotation.id)],
  };
}

export function discardIncoming(record: ClientRecord, rotation: Rotation): ClientRecord {
  const kid = incomingKid(rotation);
  if (kid === null) return record;
  return { ...record, retiring: [...record.retiring, { kind: 'discard', kid, rotation: rotation.id }] };
}

/** The new key must not stay published. After a compromise there is no way back: the client waits for a person instead. */
export function turnBack(record: ClientRecord, rotation: Rotation, kid: string, why: string): Change {
  if (rotation.compromised !== null) return halt(record, why);
  const phase = { name: 'reverting' as const, kid, why };
  return { record: { ...relieved(record), lastError: why, rotation: { ...rotation, phase } }, entries: [] };
}

/** Nothing more is done for this client until a new request: a person has to look. */
export function halt(record: ClientRecord, why: string): Change {
  const { rotation } = record;
  const halted = { ...relieved(record), halted: why, lastError: why };
  if (rotation === null) return { record: halted, entries: [entry(halted, 'client.halted', { error: why })] };
  const next = summarize(halted, rotation.id, { state: 'failed', error: why });
  return {
    record: next,
    entries: [
      entry(next, 'client.halted', { error: why }),
      entry(next, 'rotation.failed', { kid: incomingKid(rotation), outcome: 'failed', error: why }),
    ],
  };
}

/** How `lastError` begins when it is tried on all the same. */
const USED_UP = 'its attempts are used up, and it goes on because a key may have leaked: ';

/**
 * A step failed in a way that may pass. It is tried again later, after a compromise without end: a rotation that was given up would leave the key
 * that leaked in use, and nobody would come back to it. Any other is given up as {@link bearRefusal} says.
 */
export function tryAgain(record: ClientRecord, context: Context, why: string): Change {
  if (!isCompromised(record)) return bearRefusal(record, context, why);
  const isUsedUp = record.attempts + 1 >= context.policy.attempts;
  return { record: putOff(record, context, isUsedUp ? `${USED_UP}${why}` : why), entries: [] };
}

/**
 * The same where somebody said no. Once the policy's attempts are used up, the rotation is given up, by the way back when the new key may already be
 * published.
 */
export function bearRefusal(record: ClientRecord, context: Context, why: string): Change {
  const next = putOff(recounted(record, context), context, why);
  const { rotation } = record;
  if (rotation === null || next.attempts < context.policy.attempts) return { record: next, entries: [] };
  const gaveUp = `gave up after ${next.attempts} attempts: ${why}`;
  switch (rotation.phase.name) {
    case 'requested':
    case 'stored':
      return fail(record, rotation, gaveUp, context);
    case 'delivered':
      return giveUp(record, rotation, rotation.phase.kid, gaveUp, context);
    case 'published':
    case 'cut_over':
      return turnBack(record, rotation, rotation.phase.kid, gaveUp);
    case 'proven':
    case 'reverting':
      // Neither has a better place to go: signers hold both keys, so trying on is the safe thing.
      return { record: next, entries: [] };
    default:
      return rotation.phase satisfies never;
  }
}

/** After a compromise more attempts than the policy's may have failed: none of those was a refusal, so refusals are counted from the first. */
export function recounted(record: ClientRecord, { policy }: Context): ClientRecord {
  return isCompromised(record) && record.attempts >= policy.attempts ? { ...record, attempts: 0 } : record;
}

function isCompromised({ rotation }: ClientRecord): boolean {
  return rotation !== null && rotation.compromised !== null;
}
