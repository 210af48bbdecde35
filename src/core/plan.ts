/**
 * What to do next for one client: a pure function of its record, its policy and the time. The parts of the record are asked one after the other, and the
 * first that has something to do now is heard. Each says what would break if it were asked after its neighbour.
 */
import type { Action, Wait } from './action.ts';
import { isUnsure, offering } from './adoption.ts';
import { desiredDocument, desiredServed, servesOther } from './desired.ts';
import { sameDocument } from './document.ts';
import { presentObstacle } from './obstacle.ts';
import type { ClientPolicy } from './policy.ts';
import { isPressing } from './pressing.ts';
import { publication } from './publication.ts';
import { readBack } from './readback.ts';
import { holdingForOverlap, holdingForSigners, overlapAction } from './readiness.ts';
import type { ClientRecord } from './record.ts';
import { isSuperseded, type Retirement } from './retirement.ts';
import { mayBePublished, type Rotation, whyAbandoned } from './rotation.ts';
import { FRESH_MS, isFresh } from './server.ts';
import { triesOf } from './setback.ts';
import { desiredDelivery, sameDelivery } from './signers.ts';
import { standbyStep, standingBy } from './standby.ts';
import { backoffOf } from './tries.ts';

type Part = (record: ClientRecord, policy: ClientPolicy, now: number) => Action | null;

/** Works on a record that {@link ./retirement.ts ripened}. */
export function plan(record: ClientRecord, policy: ClientPolicy, now: number): Action {
  if (record.doubted) return backoffOf(record.server.tries, now) ?? { do: 'look', owner: 'server' };
  if (record.halted !== null) return { do: 'done' };
  const waits: Wait[] = [];
  for (const part of PARTS) {
    const action = part(record, policy, now);
    if (action === null) continue;
    if (action.do !== 'wait') return action;
    waits.push(action);
    if (part === delivering && !goesOnUndelivered(record)) break;
  }
  return waits.reduce<Action>(
    (soonest, wait) => (soonest.do === 'wait' && soonest.until <= wait.until ? soonest : wait),
    { do: 'done' },
  );
}

/** First of all: a person has said that the rotation must end. */
const abandoning: Part = ({ rotation, server: { inFlight } }, _policy, now) => {
  if (rotation === null || rotation.abandoned === null) return null;
  if (!mayBePublished(rotation)) return { do: 'fail', why: whyAbandoned(rotation) };
  if (rotation.adopting) return { do: 'turn_back', why: whyAbandoned(rotation) };
  // Which key the server takes is not settled before.
  if (inFlight !== null && now < inFlight.deadline) {
    return { do: 'wait', until: inFlight.deadline, why: 'an earlier PATCH may still arrive' };
  }
  return backoffOf(rotation.tries, now) ?? { do: 'choose', rotation };
};

/** Before a key is made: then there is nothing to clean up. */
const impossible: Part = (record, policy) => {
  const { rotation } = record;
  if (rotation === null || rotation.abandoned !== null) return null;
  const why = presentObstacle(record, rotation, policy);
  return why === null ? null : { do: 'fail', why };
};

/**
 * Only when it is known what signers hold: a rotation that cannot reach them would leave one more key behind each time. Not after a compromise: there the
 * key that cannot be handed to them may be the one to be replaced.
 */
const generating: Part = (record, _policy, now) => {
  const { rotation, signers } = record;
  if (rotation?.phase.name !== 'requested' || rotation.abandoned !== null) return null;
  if (signers.delivered === null && rotation.compromised === null) return null;
  return backoffOf(rotation.tries, now) ?? standbyStep(record, rotation) ?? { do: 'generate', rotation };
};

/**
 * Before any publication: a key that signers do not hold yet must not be the only one that the server takes. Before any destruction: signers give up a key
 * first. While a delivery fails, nothing behind it is done, unless a key has to leave the server: signers hold the one that stays.
 */
const delivering: Part = (record, _policy, now) => {
  const { rotation, signers } = record;
  const delivery = desiredDelivery(record);
  if (sameDelivery(signers.delivered, delivery)) return null;
  const owner = rotation !== null && WAITS_FOR_DELIVERY.has(rotation.phase.name) ? 'rotation' : 'signers';
  return backoffOf(triesOf(record, owner), now) ?? { do: 'deliver', delivery, owner };
};

function goesOnUndelivered(record: ClientRecord): boolean {
  return isPressing(record) || record.rotation?.phase.name === 'reverting';
}

const WAITS_FOR_DELIVERY: ReadonlySet<Rotation['phase']['name']> = new Set(['requested', 'stored', 'proven']);

/** What a cutover waits for before it is sent. */
const HOLDING: readonly Part[] = [holdingForOverlap, holdingForSigners];

/** The one document of a client: whatever part of the record asks for a change, it is sent here. */
const publishing: Part = (record, policy, now) => {
  const asked = publication(record, policy);
  if (asked === null || HOLDING.some((part) => part(record, policy, now) !== null)) return null;
  const { purpose, owner } = asked;
  const document = desiredDocument(record, policy);
  const { inFlight } = record.server;
  const same = inFlight !== null && document !== null && sameDocument(inFlight.document, document);
  // A PATCH with unknown outcome may still arrive. Another document sent now could be undone by it.
  if (inFlight !== null && !same && now < inFlight.deadline) {
    return { do: 'wait', until: inFlight.deadline, why: 'an earlier PATCH may still arrive' };
  }
  const wait = backoffOf(triesOf(record, owner), now);
  if (wait !== null) return wait;
  if (document === null) return isUnsure(record, now) ? { do: 'look', owner } : { do: 'settle', purpose, owner };
  if (!isFresh(record.server, now)) return { do: 'look', owner };
  if (servesOther(record, policy)) return { do: 'serve', keys: desiredServed(record, policy) ?? [], purpose, owner };
  const { client } = record.server.observed;
  // A server that shows both kinds does not tell which of them it goes by: probably the one that was sent last.
  const isPlain = client.jwksUri === null || client.keys.length === 0;
  if (inFlight === null && isPlain && readBack(document, client) === null) return { do: 'settle', purpose, owner };
  return { do: 'patch', document, purpose, owner };
};

/**
 * The proof comes before signers flip: a key that was read back may still be one that nobody can sign in with. Before any other delivery: a sink that
 * cannot be written must not keep the old key from being put back.
 */
const provingNew: Part = ({ rotation }, policy, now) => {
  if (rotation?.phase.name !== 'published' && rotation?.phase.name !== 'cut_over') return null;
  const { name, kid, at } = rotation.phase;
  const deadline = name === 'cut_over' && rotation.compromised === null ? at + policy.proveWithinMs : null;
  // After a cutover nobody can sign in with the old key: what is not proven by then is taken back, whatever kept us from proving it.
  if (deadline !== null && now >= deadline && rotation.tries.error !== null) {
    return { do: 'turn_back', why: `not proven in time: ${rotation.tries.error}` };
  }
  // Servers may cache a set. Nothing depends on the new key yet, so it can wait; after a cutover everything does, so it must not. One that a rollback
  // puts back out of its overlap was never taken away.
  const soaked = name === 'published' && rotation.rollsBack?.phase !== 'overlap' ? at + policy.propagationMs : at;
  if (now < soaked) return { do: 'wait', until: soaked, why: 'the new key propagates' };
  if (policy.prove === 'read_back') return { do: 'take_unproven', kid };
  const wait = backoffOf(rotation.tries, now);
  if (wait === null) return { do: 'prove_new', kid };
  return deadline === null ? wait : { ...wait, until: Math.min(wait.until, deadline) };
};

/**
 * Before the document is sent once more. A cutover PATCH without an answer may have removed the old key. Unless the new key is proven within
 * `prove_within`, put the old one back.
 */
const unconfirmed: Part = ({ rotation }, policy, now) => {
  if (rotation === null || rotation.before === null || !isUnconfirmed(rotation)) return null;
  if (rotation.tries.error === null) return null;
  const deadline = rotation.before.sentAt + policy.proveWithinMs;
  if (now < deadline) return { do: 'wait', until: deadline, why: 'a cutover may have reached the server' };
  return { do: 'turn_back', why: `not confirmed in time: ${rotation.tries.error}` };
};

/** A cutover PATCH was sent, and nothing has shown what came of it. Not after a compromise, which has no rollback, nor while a person abandons it. */
function isUnconfirmed({ strategy, phase, before, compromised, abandoned }: Rotation): boolean {
  return (
    strategy === 'cutover' &&
    phase.name === 'delivered' &&
    before !== null &&
    compromised === null &&
    abandoned === null
  );
}

/**
 * Before any delivery: until a cutover is confirmed, or the old key is back, the server may refuse every sign-in. Signers hold both keys by then, so a sink
 * that cannot be written must not keep them waiting.
 */
const endingCutover: Part = (record, policy, now) => {
  const { rotation } = record;
  if (rotation?.strategy !== 'cutover') return null;
  return rotation.phase.name === 'reverting' || isUnconfirmed(rotation) ? publishing(record, policy, now) : null;
};

/** Last, since nothing waits for it but the old key itself. */
const retiring: Part = (record, policy, now) => {
  const actions = record.retirements.flatMap((old) => retirementAction(old, record, policy, now) ?? []);
  const waits = actions.filter((action) => action.do === 'wait').sort((a, b) => a.until - b.until);
  return actions.find((action) => action.do !== 'wait') ?? waits[0] ?? null;
};

function retirementAction(old: Retirement, record: ClientRecord, policy: ClientPolicy, now: number): Action | null {
  if (isSuperseded(old, record.rotation)) return null;
  switch (old.phase) {
    case 'overlap':
      return overlapAction(old, record, policy, now);
    case 'withdrawing':
      return null; // publication is under way
    case 'withdrawn':
      if (now < old.until)
        return { do: 'wait', until: old.until, why: 'assertions of the old key may be on their way' };
      return backoffOf(old.tries, now) ?? proveRefused(old, policy);
    case 'refused':
      // Signers give it up first.
      return sameDelivery(record.signers.delivered, desiredDelivery(record)) ? { do: 'destroy', old } : null;
    default:
      return old.phase satisfies never;
  }
}

/** The old private half is destroyed only after the server is seen to refuse it: until then it is the way to see that it does. */
function proveRefused(old: Retirement, policy: ClientPolicy): Action {
  const { kid, names } = old;
  const [name] = names;
  if (kid === null || name === undefined || policy.prove === 'read_back') return { do: 'take_refused', old };
  return { do: 'prove_old', kid, name, old };
}

/** What came of a PATCH that was never answered shows in a look after its deadline. Nothing waits for that. */
const landing: Part = ({ server: { inFlight, tries } }, _policy, now) => {
  if (inFlight === null) return null;
  const until = Math.max(inFlight.deadline + FRESH_MS, tries.notBefore);
  if (now < until) return { do: 'wait', until, why: 'an earlier PATCH may still arrive' };
  return { do: 'look', owner: 'server' };
};

const PARTS: readonly Part[] = [
  abandoning,
  offering,
  impossible,
  generating,
  provingNew,
  unconfirmed,
  endingCutover,
  delivering,
  publishing,
  ...HOLDING,
  retiring,
  landing,
  standingBy,
];
