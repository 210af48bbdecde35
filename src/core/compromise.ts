/** A key may have leaked: it has to stop working now. */
import { RekeydError } from '../errors.ts';
import { withdrawReported, withoutAdopting } from './adoption.ts';
import {
  type Compromised,
  exposed,
  type RotationRequest,
  reportOf,
  requested,
  type Started,
  safeForm,
  start,
} from './begin.ts';
import { foreignKeys } from './desired.ts';
import type { PublishedKey } from './document.ts';
import { activate, discardIncoming, rememberReported } from './ending.ts';
import { exposure, foremost, marking, withoutStandby, withReported } from './exposing.ts';
import { activeKey, keyOf, remember, withKey } from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import { type Retirement, withRetirements } from './retirement.ts';
import { type CutoverRotation, incomingKid, type Rotation } from './rotation.ts';
import { andThen } from './transition.ts';
import { NO_TRIES } from './tries.ts';

/** A request about the key `kid`, or with null about the one in use. */
interface Reported extends RotationRequest {
  readonly compromised: { readonly kid: string | null };
}

/**
 * @param compromised what may have leaked. Of several keys each is taken out of use, whatever it is to the client by now.
 * @param wasHalted the client waited for a person
 * @throws RekeydError `not_found` when this client never had such a key; `key_destroyed` when it has it no more
 */
export function compromise(
  record: ClientRecord,
  asked: RotationRequest,
  compromised: Compromised,
  policy: ClientPolicy,
  now: number,
  wasHalted: boolean,
): Started {
  const kids = 'kids' in compromised ? compromised.kids : [compromised.kid].filter((kid) => kid !== null);
  const kid = 'kids' in compromised ? foremost(record, compromised.kids) : compromised.kid;
  const marked = withoutStandby(record, kids);
  const started = replaceExposed(marked, { ...asked, compromised: { kid } }, kids, policy, now, wasHalted);
  return marking(record, started, asked, kids, now);
}

/** True when what may have leaked is only offered to the application. It is withdrawn then, and the application goes on with its own key. */
export function withdrawsOffer(record: ClientRecord, compromised: Compromised): boolean {
  const kid = 'kids' in compromised ? foremost(record, compromised.kids) : compromised.kid;
  return record.rotation !== null && kid !== null && isOffered(record.rotation, kid);
}

function isOffered(rotation: Rotation, kid: string): boolean {
  return rotation.adopting === true && incomingKid(rotation) === kid;
}

/** @param kids all that are reported; `asked` names the foremost of them */
function replaceExposed(
  record: ClientRecord,
  asked: Reported,
  kids: readonly string[],
  policy: ClientPolicy,
  now: number,
  wasHalted: boolean,
): Started {
  const { kid } = asked.compromised;
  // Nothing that stands beside the exposed key may wait out an overlap.
  const hurried = withRetirements(withoutForeign(record, kid, now), (old) => ({
    ...old,
    until: Math.min(old.until, now),
    tries: { ...old.tries, notBefore: 0 },
  }));
  const leaving = kid === null ? undefined : hurried.retirements.find((old) => old.kid === kid);
  if (kid !== null && leaving !== undefined) return reportLeaving(hurried, leaving, kid, asked, now);
  const { rotation } = hurried;
  if (kid !== null && !knows(record, kid)) throw noSuchKey(record, kid);
  if (rotation === null) return start(hurried, asked, policy, now);
  if (kid !== null && isOffered(rotation, kid)) return reportOffered(hurried, rotation, kid, asked);
  const isIncoming = meansIncoming(rotation, kid) || kids.includes(incomingKid(rotation) ?? '');
  if (rotation.phase.name === 'proven' && rotation.strategy === 'cutover' && isIncoming) {
    // The server takes nothing else, and signers may hold it as theirs already: it is the one in use.
    const inUse = rotation.phase.kid;
    const done = activate(hurried, rotation, inUse, { policy, now });
    const next = start(done.record, kid === null ? asked : { ...asked, compromised: { kid: inUse } }, policy, now);
    return { ...andThen(done, () => next), rotation: next.rotation };
  }
  return escalate(hurried, rotation, asked, isIncoming, policy, now, wasHalted);
}

function noSuchKey({ ref, former }: ClientRecord, kid: string): RekeydError {
  const gone = former.find((key) => key.kid === kid);
  if (gone !== undefined) {
    const at = new Date(gone.at).toISOString();
    return new RekeydError(
      'key_destroyed',
      `${ref}: key ${kid} is out of use since ${at}. There is nothing to replace.`,
    );
  }
  const hint = `\`rekeyd status ${ref}\` lists its keys; without a kid, the one in use is replaced.`;
  return new RekeydError('not_found', `${ref} has no key ${kid}. ${hint}`);
}

/** A key of ours, or one that the server shows. */
function knows(record: ClientRecord, kid: string): boolean {
  const isOurs = [activeKey(record)?.kid, incomingKid(record.rotation), record.standby?.kid].includes(kid);
  const { client } = record.server.observed;
  return (
    isOurs ||
    client.keys.some((shown) => isCalled(shown, kid)) ||
    // It may still be the one that the rotation under way replaces.
    (record.rotation !== null && record.former.some((key) => key.kid === kid && key.compromised))
  );
}

/** Every entry that holds the reported key goes, under whatever name, and does not come back: a foreign key, or one that we had before. */
function withoutForeign(record: ClientRecord, kid: string | null, now: number): ClientRecord {
  const reported = reportedEntries(record, kid).flatMap(({ ids, jwk }) =>
    ids.map((id) => ({ id, kid: String(jwk.kid ?? id), at: now, compromised: true })),
  );
  const former = reported.filter(({ id }) => !record.keys.some((key) => key.id === id));
  return former.length === 0 ? record : remember(record, former);
}

/** A foreign key without a `kid`, such as a PEM, is called by its id. */
function isCalled({ jwk, ids }: PublishedKey, name: string): boolean {
  return jwk.kid === name || ids.includes(name);
}

/** Where no key of ours is active, the foreign ones are those in use. */
function reportedEntries(record: ClientRecord, kid: string | null): readonly PublishedKey[] {
  if (kid !== null) return record.server.observed.client.keys.filter((shown) => isCalled(shown, kid));
  return activeKey(record) === undefined ? foreignKeys(record) : [];
}

function reportLeaving(record: ClientRecord, leaving: Retirement, kid: string, asked: Reported, now: number): Started {
  const from = keyOf(record, kid).state;
  const next = withReported(record, kid, asked, now);
  const { id } = leaving.rotation;
  const told = requested(next, { ...exposed(asked), joins: id }, id, asked);
  const entries = from === 'compromised' ? [told] : [told, exposure(next, kid, from, id, asked)];
  return { record: next, entries, rotation: id };
}

/** Of a key that is offered, nothing has to be replaced. */
function reportOffered(record: ClientRecord, rotation: Rotation, kid: string, asked: RotationRequest): Started {
  const from = keyOf(record, kid).state;
  const next = withdrawReported(withKey(record, kid, { state: 'compromised' }), rotation);
  const told = requested(next, { ...exposed(asked), joins: rotation.id }, rotation.id, asked);
  const entries = from === 'compromised' ? [told] : [told, exposure(next, kid, from, rotation.id, asked)];
  return { record: next, entries, rotation: rotation.id };
}

/**
 * True when the new key is meant: by its name, or as the one in use, which it is for signers that have it already. Somebody who reported the key in use
 * before its rotation came that far does not mean the new one.
 */
function meansIncoming({ phase, compromised }: Rotation, kid: string | null): boolean {
  if (phase.name === 'requested') return false;
  return kid === null ? phase.name === 'proven' && compromised === null : phase.kid === kid;
}

/**
 * A rotation under way becomes a cutover without waits. A new key that is itself exposed, is being taken back or got the client halted is thrown away for
 * another. So is one that was in use before: a thief who read the present key may have read that one too.
 * @param isIncoming the new key is exposed
 */
function escalate(
  record: ClientRecord,
  rotation: Rotation,
  asked: Reported,
  isIncoming: boolean,
  policy: ClientPolicy,
  now: number,
  wasHalted: boolean,
): Started {
  const incoming = incomingKid(rotation);
  const isMeant = incoming !== null && isIncoming;
  const { rollsBack, ...going } = rotation;
  const isUnfit = rotation.phase.name === 'reverting' || rollsBack !== undefined || wasHalted;
  const discard = isMeant || (incoming !== null && isUnfit);
  const before = rememberReported(record, rotation, now);
  const marked = isMeant ? withKey(before, incoming, { state: 'compromised' }) : before;
  const discarded = discard ? discardIncoming(marked, withoutWait(rotation, now), 'withdrawing', now) : marked;
  const { keepStandby: _, ...others } = withoutAdopting(going);
  // Of two reports one may mean the standby key too: then it is exposed, whatever the other says.
  const keeps = asked.keepStandby === true && (rotation.compromised === null || rotation.keepStandby === true);
  const { alg, format } = discard ? safeForm(record, policy) : rotation;
  const next: ClientRecord = {
    ...discarded,
    rotation: {
      // What is reported is replaced, also where the application was only offered another key.
      ...others,
      strategy: 'cutover',
      alg: alg ?? rotation.alg,
      format,
      compromised: reportOf(asked.compromised, rotation.compromised?.at ?? asked.askedAt, now),
      ...(keeps && { keepStandby: true as const }),
      abandoned: null,
      phase: discard ? { name: 'requested' } : withoutOverlap(rotation),
      keysMade: discard ? 0 : rotation.keysMade,
      tries: NO_TRIES,
    },
  };
  const told = requested(next, { ...exposed(asked), escalates: rotation.id }, rotation.id, asked);
  if (!isMeant) return { record: next, entries: [told], rotation: rotation.id };
  const from = keyOf(record, incoming).state;
  const entries = [told, exposure(next, incoming, from, rotation.id, asked)];
  return { record: next, entries, rotation: rotation.id };
}

/** Nothing that stands beside the exposed key may wait out an overlap, also not a key that is being put back. */
function withoutWait(rotation: Rotation, now: number): Rotation {
  const { rollsBack } = rotation;
  return rollsBack === undefined ? rotation : { ...rotation, rollsBack: { ...rollsBack, until: now } };
}

/**
 * From `delivered` the cutover PATCH is sent: the new key B alone, without the old key A. So a rotation goes back there when the server may show more than B:
 * - `published`, `offered`, or `proven` in an overlap: the server shows A and B.
 * - `cut_over`: the server shows B, and perhaps a foreign key that is reported only now.
 * A cutover that is `proven` stays: signers may hold B as their current key, and in `delivered` they would get A again. Signers take B, and then the foreign key goes.
 */
function withoutOverlap({ strategy, phase }: Rotation): CutoverRotation['phase'] {
  if (phase.name === 'published' || phase.name === 'offered' || phase.name === 'cut_over') {
    return { name: 'delivered', kid: phase.kid };
  }
  return strategy === 'overlap' && phase.name === 'proven' ? { name: 'delivered', kid: phase.kid } : phase;
}
