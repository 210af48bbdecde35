/** Asking for a rotation: it starts, or the request joins the one under way. */
import { RekeydError } from '../errors.ts';
import { enroll, offerObstacle, withoutAdopting, withoutDeclined } from './adoption.ts';
import { exposed, type RotationRequest, requested, resumed, type Started, start } from './begin.ts';
import { compromise } from './compromise.ts';
import { unknownDelivery } from './delivering.ts';
import { KEY_METHOD } from './due.ts';
import { howToEnroll } from './enrolment.ts';
import type { Cause } from './history.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import type { Rotation } from './rotation.ts';
import { andThen, entry, type Transition } from './transition.ts';
import { NO_TRIES } from './tries.ts';

/**
 * Starts a rotation, joins the one under way, or takes a halted one up again. A hundred requests at once are one rotation. Where nothing changes, the
 * record stays the same object; the entry then says who asked.
 * @throws RekeydError `not_eligible`; `not_enrolled`; `under_way` while the one under way is being abandoned; `not_found` when a compromised kid is unknown to this
 * client; `algorithm_unsupported`
 */
export function request(record: ClientRecord, asked: RotationRequest, policy: ClientPolicy, now: number): Started {
  const { compromised, takeOver } = asked;
  const { active, authMethod, probe } = record.server.observed.client;
  const isUnfit = probe !== undefined || (active && authMethod !== KEY_METHOD);
  if (isUnfit && record.rotation === null) throw notEligible(record);
  // A leaked key goes, even where the application has to be told of its new key by hand.
  const isLeftAlone = record.enrolment !== 'enrolled' && record.rotation === null;
  if (isLeftAlone && !takeOver && compromised === null) return offer(record, asked, policy, now);
  if (compromised === null) return takeOver ? takeUp(record, asked, policy, now) : join(record, asked, policy, now);
  return compromise(resumed(record), asked, compromised, policy, now, record.halted !== null);
}

function notEligible({ ref, server }: ClientRecord): RekeydError {
  const { authMethod: method, probe } = server.observed.client;
  if (probe !== undefined) {
    return new RekeydError(
      'not_eligible',
      `${ref} is a disposable client that a probe made: it has no application. The next probe of its app removes it.`,
    );
  }
  return new RekeydError(
    'not_eligible',
    `${ref} authenticates with ${method}: only ${KEY_METHOD} has keys. Change its client_auth_method first.`,
  );
}

/** Where the policy allows it, a key of ours is offered to an application that signs with one of its own. */
function offer(record: ClientRecord, asked: RotationRequest, policy: ClientPolicy, now: number): Started {
  const obstacle = offerObstacle(record, policy);
  if (obstacle === null) return start(withoutDeclined(resumed(record)), asked, policy, now, true);
  throw notEnrolled(
    record,
    policy.adopt === 'overlap' ? `, and no key of ours can be offered beside it, because ${obstacle}` : '',
  );
}

/** The application takes our key at once: one that is offered takes over, one that would be offered does so when it is proven. */
function takeUp(record: ClientRecord, asked: RotationRequest, policy: ClientPolicy, now: number): Started {
  const { rotation } = record;
  if (rotation?.adopting !== true) return join(record, asked, policy, now);
  const isEnding = rotation.abandoned !== null || rotation.phase.name === 'reverting';
  if (isEnding) return join(record, asked, policy, now);
  if (rotation.phase.name !== 'offered') {
    return join({ ...record, rotation: withoutAdopting(rotation) }, asked, policy, now);
  }
  const told = requested(record, { ...exposed(asked), joins: rotation.id }, rotation.id, asked);
  const joined = { record: resumed(record), entries: [told] };
  return { ...andThen(joined, (next) => enroll(next, asked, { policy, now })), rotation: rotation.id };
}

function notEnrolled({ ref, enrolment }: ClientRecord, noOffer: string): RekeydError {
  const why =
    enrolment === 'found'
      ? `its active key is not ours${noOffer}. ${howToEnroll(ref)}`
      : `its key was imported, but nobody has shown that its application takes its key from us. Let it read its key folder, then \`rekeyd enroll ${ref}\`.`;
  return new RekeydError(
    'not_enrolled',
    `${ref} is ${enrolment}: ${why} Or rotate it with --take-over: then its application must take the new key from its key folder at once, or it cannot sign in.`,
  );
}

function join(record: ClientRecord, asked: RotationRequest, policy: ClientPolicy, now: number): Started {
  const calm = record.halted === null ? record : goingOn(resumed(record));
  const { rotation } = calm;
  if (rotation === null) return start(calm, asked, policy, now);
  if (rotation.rollsBack !== undefined && record.halted === null) {
    throw new RekeydError(
      'under_way',
      `${record.ref}: its previous key is being put back (rotation ${rotation.id}); ask again when that has ended.`,
    );
  }
  // It is on its way to either key, and would end without an answer to this request.
  if (rotation.abandoned !== null) {
    throw new RekeydError('under_way', `${record.ref}: its rotation is being abandoned; ask again when it has ended.`);
  }
  const told = requested(calm, { ...exposed(asked), joins: rotation.id }, rotation.id, asked);
  return { record: calm, entries: [told], rotation: rotation.id };
}

/** A halted rotation that was to be abandoned does not end by itself: a request takes it up as one that goes on. */
function goingOn(record: ClientRecord): ClientRecord {
  const { rotation } = record;
  return rotation === null ? record : { ...record, rotation: { ...rotation, abandoned: null } };
}

/**
 * Ends the rotation under way, at whichever key the server takes. One after a compromise only once rekeyd has given it up: until then it may still
 * replace the leaked key.
 * @throws RekeydError `not_found` when none is under way; `under_way` after a compromise
 */
export function abandon(record: ClientRecord, cause: Cause): Transition {
  const { rotation } = record;
  if (rotation === null) {
    throw new RekeydError('not_found', `No rotation of ${record.ref} is under way: there is nothing to abandon.`);
  }
  if (rotation.compromised !== null && record.halted === null && !wasAbandoned(rotation)) {
    throw new RekeydError(
      'under_way',
      `${record.ref}: its key was reported as compromised, so this rotation goes on until that key is gone. Correct what stands in its way (\`rekeyd status ${record.ref}\`).`,
    );
  }
  // A delivery that was under way may have reached signers.
  const calm = rotation.phase.name === 'stored' ? unknownDelivery(resumed(record)) : resumed(record);
  const next: ClientRecord = { ...calm, rotation: { ...rotation, tries: NO_TRIES, abandoned: cause } };
  const data = { phase: rotation.phase.name };
  return { record: next, entries: [entry(next, { ...cause, id: rotation.id }, 'rotation.abandoned', data)] };
}

/** A compromise has no rollback of its own: one that goes back does so because a person has ended it. */
function wasAbandoned({ abandoned, phase }: Rotation): boolean {
  return abandoned !== null || phase.name === 'reverting';
}
