/**
 * `adopt: overlap`. The application of a found client signs with a key of its own. Where the server takes several keys, a key of ours is offered to it: published
 * beside theirs, proven, and put into its key folder. Their key stays as it is and signs in all the while. When the application is seen to sign with ours, the
 * client is enrolled; when that does not happen in time, ours is withdrawn and the client is as before.
 *
 * An offer is an overlap rotation with `adopting` set. It rests in the phase `offered`, where any other rotation would let its key take over.
 */
import { RekeydError } from '../errors.ts';
import type { Action } from './action.ts';
import { chooseStrategy } from './begin.ts';
import { foreignKeys } from './desired.ts';
import { formatDuration } from './duration.ts';
import { activate, turnBack } from './ending.ts';
import { enrolled } from './enrolment.ts';
import type { Cause } from './history.ts';
import { activeKey, holds, keyOf } from './keys.ts';
import { chosenAlg, presentAlg, presentFormat } from './obstacle.ts';
import type { ClientPolicy, Context } from './policy.ts';
import { unfit } from './possible.ts';
import type { ClientRecord } from './record.ts';
import { incomingKid, inPhase, mayBePublished, type Rotation } from './rotation.ts';
import { isFresh } from './server.ts';
import { shownNames } from './shown.ts';
import { entry, type On, type Transition } from './transition.ts';
import { NO_TRIES } from './tries.ts';
import { counted } from './wave.ts';

/** An offer that was not taken. It is not repeated until a person asks, or the policy is another one. */
export interface Declined {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly why: string;
  /** What of the policy the offer rested on. */
  readonly policy: string;
}

/** Why no key of ours may be published beside those of this client; null when one may. */
export function offerObstacle(record: ClientRecord, policy: ClientPolicy): string | null {
  const { client } = record.server.observed;
  if (policy.adopt !== 'overlap') return 'its policy does not say adopt: overlap';
  if (record.enrolment !== 'found' || activeKey(record) !== undefined) return 'rekeyd has a key of it already';
  const isSet = presentFormat(record) === 'jwks' && client.jwksUri === null && client.keys.length > 0;
  if (!isSet || (policy.format !== 'keep' && policy.format !== 'jwks')) {
    return 'a second key fits only into a JWK Set that stays one: its own keys, and the format of its policy, must be jwks';
  }
  if (isNameless(record, policy)) return NAMELESS;
  const alg = chosenAlg(record, policy);
  if (alg !== presentAlg(record)) {
    return `its policy names another alg than ${presentAlg(record)}, which its application signs: a server verifies one alg per client. Set alg: keep`;
  }
  // A server that takes one key at a time would take ours alone.
  if (alg === null || chooseStrategy(record, policy, { alg, format: 'jwks' }, { compromised: null }) !== 'overlap') {
    return 'its server is not known to take several keys. `rekeyd probe` finds out (strategy: auto); or set strategy: overlap in the policy, where it does';
  }
  return unfit(record, { alg, strategy: 'overlap', format: 'jwks' }, { alg, format: 'jwks' }, policy);
}

const NAMELESS =
  'the client shows a key without a kid, which a server that picks keys by kid does not find beside a second one. Publish it with the kid that its application puts into its assertions';

/** Beside a second key, the application that signs with such a key would be locked out, unless its server is known to try all keys. */
function isNameless(record: ClientRecord, { facts }: ClientPolicy): boolean {
  if (facts.findings?.picks.result === 'any') return false;
  return foreignKeys(record).some(({ jwk }) => typeof jwk.kid !== 'string');
}

/** True when a schedule may offer a key of ours to the application of this client. */
export function mayBeOffered(record: ClientRecord, policy: ClientPolicy): boolean {
  if (record.rotation !== null || offerObstacle(record, policy) !== null) return false;
  return record.declined?.policy !== restingOn(policy);
}

function restingOn({ adopt, adoptTimeoutMs, alg, format, strategy }: ClientPolicy): string {
  return JSON.stringify([adopt, adoptTimeoutMs, alg, format, strategy]);
}

/** A person asks for another offer. */
export function withoutDeclined({ declined: _, ...record }: ClientRecord): ClientRecord {
  return record;
}

/** The rotation is no offer any more: its key takes over once it is proven. */
export function withoutAdopting({ adopting: _, ...rotation }: Rotation): Rotation {
  return rotation;
}

/** When the key that is offered is withdrawn, in ms since the epoch; null while none is. */
export function offeredUntil({ rotation }: ClientRecord, policy: ClientPolicy): number | null {
  if (rotation?.phase.name !== 'offered') return null;
  return policy.adopt === 'import' ? 0 : rotation.phase.at + policy.adoptTimeoutMs;
}

/** Why an offer ends without having been taken; null while it goes on. */
export function whyWithdrawn(record: ClientRecord, policy: ClientPolicy, now: number): string | null {
  const { rotation, server } = record;
  if (rotation?.adopting !== true || rotation.phase.name === 'reverting') return null;
  const { alg, jwksUri } = server.observed.client;
  // Our document would undo what its owner has done, and lock the application out.
  if (alg !== null && alg !== rotation.alg) return `the client is registered with alg ${alg} now`;
  if (jwksUri !== null) return 'the client publishes its keys at an address of its own now';
  if (foreignKeys(record).length === 0) return 'the client shows no key of its own any more';
  if (isNameless(record, policy)) return NAMELESS;
  const until = offeredUntil(record, policy);
  if (until === null || now < until) return null;
  return policy.adopt === 'import'
    ? 'its policy does not say adopt: overlap any more'
    : `its application was not seen to sign with it within ${formatDuration(policy.adoptTimeoutMs)}`;
}

/**
 * A part of the plan. It comes before anything is sent: what the owner has done to the client counts more than our offer. And before any delivery: a sink that
 * cannot be written must not keep a key published that nobody takes.
 */
export function offering(record: ClientRecord, policy: ClientPolicy, now: number): Action | null {
  const { rotation } = record;
  if (rotation === null || rotation.abandoned !== null) return null;
  const why = whyWithdrawn(record, policy, now);
  if (why !== null) return mayBePublished(rotation) ? { do: 'turn_back', why } : { do: 'fail', why };
  const until = offeredUntil(record, policy);
  return until === null ? null : { do: 'wait', until, why: 'our key is offered to its application' };
}

/** The server does not show the offered key any more: somebody has published a set without it. */
export function isOfferMissing(record: ClientRecord): boolean {
  const { rotation, server } = record;
  if (rotation?.phase.name !== 'offered') return false;
  const { id } = keyOf(record, rotation.phase.kid);
  return !server.observed.client.keys.some((shown) => holds(shown, id));
}

/** The server shows no key of ours, so there is nothing to withdraw: the owner's set stays as it is. */
export function isWithdrawn({ rotation, keys, server }: ClientRecord): boolean {
  if (rotation?.adopting !== true || rotation.phase.name !== 'reverting') return false;
  return !server.observed.client.keys.some((shown) => keys.some(({ id }) => holds(shown, id)));
}

/**
 * True while nobody knows whether the server still shows the offered key that is withdrawn. Only a fresh look shows that, made after the last moment at
 * which a PATCH with that key may arrive.
 */
export function isUnsure({ rotation, server }: ClientRecord, now: number): boolean {
  const { observed, inFlight } = server;
  const isBefore = inFlight !== null && observed.at < inFlight.deadline;
  return rotation?.adopting === true && (isBefore || !isFresh(server, now));
}

/** The proven key is in the key folder, where the application finds it as its current one. */
export function offered(record: ClientRecord, rotation: Rotation, kid: string, { now, policy }: Context): Transition {
  const resting = { ...inPhase(rotation, { name: 'offered', kid, at: now }), tries: NO_TRIES };
  const data = { kid, until: new Date(now + policy.adoptTimeoutMs).toISOString() };
  const told = entry(record, rotation, 'client.offered', data);
  return { record: { ...record, rotation: resting, failure: null }, entries: [told], ...counted(rotation, 'active') };
}

/** @param change the end of an offer that was not taken */
export function declined(
  change: Transition,
  on: On,
  why: string,
  { policy, now }: Pick<Context, 'policy' | 'now'>,
): Transition {
  const { client } = change.record.server.observed;
  // Nothing is wrong with the client: it signs in with its own key, as before.
  const record = { ...change.record, failure: null, declined: { at: now, why, policy: restingOn(policy) } };
  const data = {
    client_id: client.clientId,
    alg: client.alg,
    keys: client.keys.length,
    ...shownNames(client),
    error: why,
  };
  return { ...change, record, entries: [...change.entries, entry(record, on, 'client.found', data)] };
}

/**
 * A person says that the application takes its key from us.
 * @throws RekeydError `not_enrolled` when there is no key of ours that it could take
 */
export function enroll(record: ClientRecord, cause: Cause, context: Pick<Context, 'policy' | 'now'>): Transition {
  const { rotation, ref } = record;
  if (rotation?.adopting !== true) return enrolled(record, cause);
  if (rotation.phase.name === 'offered') return activate(record, rotation, rotation.phase.kid, context, cause);
  throw new RekeydError(
    'not_enrolled',
    `${ref}: our key is not offered to its application yet (${rotation.phase.name}). When \`rekeyd status ${ref}\` says that it is, enroll the client again.`,
  );
}

/**
 * A signer reports that it signs with the key `kid` of its key folder: the application takes its key from us. Any other kid, and a client that is enrolled
 * already, change nothing: the record stays the same object.
 */
export function signsWith(
  record: ClientRecord,
  kid: string,
  cause: Cause,
  context: Pick<Context, 'policy' | 'now'>,
): Transition {
  const { rotation, enrolment } = record;
  if (enrolment === 'enrolled') return { record, entries: [] };
  const isOffered = rotation?.phase.name === 'offered' && rotation.phase.kid === kid;
  if (isOffered || activeKey(record)?.kid === kid) return enroll(record, cause, context);
  return { record, entries: [] };
}

/** The key that is offered may have leaked. It goes at once, and nothing takes its place: the application signs in with its own. */
export function withdrawReported(record: ClientRecord, rotation: Rotation): ClientRecord {
  const kid = incomingKid(rotation) ?? '';
  return turnBack(record, rotation, kid, `the key ${kid}, which was offered, was reported as compromised`).record;
}
