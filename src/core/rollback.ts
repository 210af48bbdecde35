/**
 * Putting the previous key back. A rollback is a rotation that makes no key: it takes up the retirement of the key that was replaced, and delivers,
 * publishes and proves that key as any rotation does a new one.
 */
import { RekeydError } from '../errors.ts';
import { chooseStrategy, newRotation, type RotationRequest, requested, resumed, type Started } from './begin.ts';
import type { Cause } from './history.ts';
import { activeKey, keyOf, type ManagedKey, wasReported } from './keys.ts';
import { obstacle, presentFormat } from './obstacle.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import { isSame, type Retirement, retire } from './retirement.ts';
import { inPhase, mayBePublished, type Rotation } from './rotation.ts';
import { desiredDelivery, sameDelivery } from './signers.ts';
import { entry, type Transition } from './transition.ts';
import { NO_TRIES } from './tries.ts';
import { counted } from './wave.ts';

/**
 * Begins to put back the key that was in use before the present one.
 * @throws RekeydError `under_way` while anything else is; `not_found` when its private half is gone, or was never ours; `key_invalid` when it was reported as
 * compromised; `not_eligible`
 */
export function rollback(
  record: ClientRecord,
  asked: Cause & { readonly id: string },
  policy: ClientPolicy,
  now: number,
): Started {
  refuseUnlessIdle(record);
  const { active, key, old } = previousKey(record);
  // The key was in use: nobody else has to be seen to sign in with its alg first.
  const request: RotationRequest = { ...asked, compromised: null, takeOver: false, tryAlg: true };
  const format = presentFormat(record);
  // One alg is registered for a client: a key of another one cannot stand beside the present key.
  const strategy =
    key.alg === active.alg ? chooseStrategy(record, policy, { alg: key.alg, format }, request) : 'cutover';
  const begun = newRotation(request, { alg: key.alg, format, strategy }, policy, now);
  const rotation = { ...begun, phase: { name: 'stored' as const, kid: key.kid }, rollsBack: old };
  const why = obstacle(record, rotation, policy);
  if (why !== null)
    throw new RekeydError('not_eligible', `${record.ref}: its previous key cannot be put back: ${why}.`);
  const next = withoutDelivery({
    ...resumed(record),
    rotation,
    retirements: record.retirements.filter((other) => !isSame(other, old)),
  });
  const data = { strategy, alg: key.alg, format, replaces: active.kid, restores: key.kid };
  const entries = [
    requested(next, { compromised: false, rollback: true }, asked.id, asked),
    entry(next, rotation, 'rotation.started', data),
  ];
  return { record: next, entries, rotation: asked.id };
}

/** After a rollback that failed signers may hold the key as their next one already: nothing would be delivered, and nothing would go on. */
function withoutDelivery(record: ClientRecord): ClientRecord {
  const { rotation, signers } = record;
  if (rotation?.phase.name !== 'stored' || !sameDelivery(signers.delivered, desiredDelivery(record))) return record;
  return { ...record, rotation: inPhase(rotation, { name: 'delivered', kid: rotation.phase.kid }) };
}

function refuseUnlessIdle({ ref, rotation, doubted }: ClientRecord): void {
  if (doubted) {
    throw underWay(
      `${ref}: the store was restored, and nobody has looked at the server since. Ask again when a worker has (\`rekeyd start\`).`,
    );
  }
  if (rotation === null) return;
  if (rotation.compromised !== null) {
    throw underWay(
      `${ref}: its key was reported as compromised, so it is not put back: rotation ${rotation.id} goes on until that key is gone.`,
    );
  }
  if (rotation.rollsBack !== undefined) {
    throw underWay(`${ref}: its previous key is being put back already (rotation ${rotation.id}).`);
  }
  throw underWay(
    `${ref}: rotation ${rotation.id} is under way, and the key from before is still the active one. \`rekeyd abandon ${ref}\` ends it.`,
  );
}

function underWay(message: string): RekeydError {
  return new RekeydError('under_way', message);
}

interface Previous {
  readonly active: ManagedKey;
  readonly key: ManagedKey;
  readonly old: Retirement;
}

function previousKey(record: ClientRecord): Previous {
  const { ref, retirements } = record;
  const active = activeKey(record);
  const old = retirements.findLast(({ role, rotation }) => role === 'replaced' && rotation.kid === active?.kid);
  if (active === undefined || old === undefined) {
    throw new RekeydError(
      'not_found',
      `${ref} has no previous key that could be put back: once the server refuses it, its private half is destroyed. \`rekeyd rotate ${ref}\` replaces the key in use.`,
    );
  }
  if (old.rotation.rollback) {
    throw new RekeydError(
      'not_found',
      `${ref}: its previous key was put back already (rotation ${old.rotation.id}), and the one before that is gone. \`rekeyd rotate ${ref}\` replaces the key in use.`,
    );
  }
  if (old.kid === null) {
    throw new RekeydError(
      'not_found',
      `${ref}: the key from before was not ours, so rekeyd cannot put it back. Publish it by hand, or \`rekeyd rotate ${ref}\`.`,
    );
  }
  const key = keyOf(record, old.kid);
  if (key.state === 'compromised' || wasReported(record, key)) {
    throw new RekeydError(
      'key_invalid',
      `${ref}: its previous key ${key.kid} was reported as compromised and is never put back. \`rekeyd rotate ${ref}\` replaces the key in use.`,
    );
  }
  return { active, key, old };
}

/** The rotation that a rollback has undone ends with it: the key that it brought in is on its way out in the rollback's name. */
export function undone(record: ClientRecord, { id, reason, rollsBack }: Rotation, now: number): Transition {
  if (rollsBack === undefined) return { record, entries: [] };
  const error = `undone by rotation ${id}: ${reason}`;
  const summary = { ...rollsBack.rotation, state: 'rolled_back' as const, endedAt: now, error };
  const data = { kid: summary.kid, outcome: 'rolled_back', error };
  const told = [entry(record, summary, 'rotation.rolled_back', data)];
  // What a person takes back counts against its wave, as what a worker takes back does.
  return { record, entries: told, ended: [summary], ...counted(summary, 'failed') };
}

/**
 * The key that a rollback would have put back goes on from where it was. One that was sent since then ends by a new proof, under each of its names.
 * @param phase of a key that was sent, unless it is to stay published until its overlap is over
 */
export function wayOutAgain(
  record: ClientRecord,
  rotation: Rotation & { readonly rollsBack: Retirement },
  phase: 'withdrawing' | 'withdrawn',
  now: number,
): ClientRecord {
  const { rollsBack: from } = rotation;
  const left: Retirement = { ...from, tries: NO_TRIES, yieldsTo: rotation.id };
  const { names } = retire(record, keyOf(record, from.kid ?? ''), from);
  const again = { ...left, names: [...new Set([...from.names, ...names])] };
  const sent: Retirement = from.phase === 'overlap' ? again : { ...again, phase, until: now };
  return { ...record, retirements: [...record.retirements, mayBePublished(rotation) ? sent : left] };
}
