/** Begins the rotation of one client that somebody asked for. */
import type { Compromised } from '../src/core/begin.ts';
import { type ClientRef, unconfigured } from '../src/core/client.ts';
import { withdrawsOffer } from '../src/core/compromise.ts';
import { isEligible } from '../src/core/due.ts';
import { findKey } from '../src/core/keys.ts';
import { hasCode, RekeydError } from '../src/errors.ts';
import type { Exposed } from '../src/rotation/exposed.ts';
import { appOf } from '../src/rotation/facts.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import type { Loaded } from '../src/store/records.ts';
import { entryOf } from './breaker.ts';
import type { Claim } from './claim.ts';
import type { JobContext } from './context.ts';
import type { Listed } from './listing.ts';
import { askForProbe, awaitsProbe } from './probing.ts';
import type { NotEnrolled } from './request.ts';
import type { Request } from './schemas.ts';
import { isNamed } from './selection.ts';
import { rotationId, startRotation } from './start.ts';

/** What a request has come to so far. */
export interface Tally {
  /** By client: what was begun, or joined. What an earlier try put there is not asked for again. */
  readonly begun: Map<ClientRef, string>;
  /** By client, since both rounds may come to the same. */
  readonly errors: Map<string, string>;
  /** The clients among `errors` that neither config, store nor API know. */
  readonly unknown: Set<ClientRef>;
  readonly skipped: Map<ClientRef, NotEnrolled['enrolment']>;
  readonly takenOver: NotEnrolled[];
  /** What has to be waited for. */
  readonly waiting: unknown[];
}

/** A request that is being answered. */
export interface Asking {
  readonly asked: Request;
  /** The job's id: a retry of the same job asks for the same rotations. */
  readonly job: string;
  /** Who was authenticated; null: nobody was. */
  readonly claim: Claim | null;
  /** When it was made, ms since the Unix epoch: by the store's clock, or by that of a producer. */
  readonly askedAt: number;
  /** A key may have leaked. */
  readonly isCompromise: boolean;
  /** What may have leaked of a client, where that is the same for all. Null: nothing, or see `exposed`. */
  readonly compromised: Compromised | null;
  /** Which keys leaked, where the request names a key, a KEK or a host. Else null. */
  readonly exposed: Exposed | null;
  readonly tally: Tally;
  /** It has waited long enough for a config that knows what it is about: what this one does not know is an error. */
  readonly isLast: boolean;
  readonly context: JobContext;
}

/** @returns false when the store does not know the client, or the key, and nothing was listed: its list has to be read. Else the tally has what came of it */
export async function begin(ref: ClientRef, listed: Listed | null, asking: Asking): Promise<boolean> {
  const { asked, job, claim, askedAt, isCompromise, tally, isLast, context } = asking;
  const compromised = compromisedOf(ref, asking);
  const { resources, queues } = context;
  const { store } = resources;
  const policy = clientPolicy(resources, ref);
  if (policy === null) {
    const message = unconfigured(ref);
    if (isLast) {
      tally.errors.set(ref, message);
      tally.unknown.add(ref);
    } else tally.waiting.push(new RekeydError('not_configured', message));
    return true;
  }
  const id = rotationId(store, job, ref);
  const { actor, reason, take_over: takeOver, try_alg: tryAlg, keep_standby: keepStandby } = asked;
  try {
    const held = await store.load(ref);
    if (!isNamed(asked.select) && !takeOver && isSkipped(held, asking)) return true;
    const isRotated = takeOver || policy.adopt === 'overlap' || held?.record.enrolment === 'enrolled';
    if (!isCompromise && awaitsProbe(policy) && isRotated) {
      tally.waiting.push(await askForProbe(appOf(ref), context));
      return true;
    }
    const before = takeOver || isCompromise ? (held?.record.enrolment ?? 'found') : 'enrolled';
    const who = { actor, reason, request: job, ...(claim !== null && { claimedBy: claim.claimedBy }) };
    const request = { id, ...who, askedAt, compromised, takeOver, tryAlg, keepStandby };
    const { rotation } = await startRotation(store, ref, listed, policy, request, held);
    await queues.wake(ref, isCompromise);
    tally.begun.set(ref, rotation);
    const isReplaced = held === null || compromised === null || !withdrawsOffer(held.record, compromised);
    if (before !== 'enrolled' && isReplaced) tally.takenOver.push({ client: ref, enrolment: before });
    return true;
  } catch (error) {
    // The record may be old: the list decides.
    if ((hasCode(error, 'not_found') || hasCode(error, 'not_eligible')) && listed === null) return false;
    if (!isRefusal(error)) throw error;
    tally.errors.set(ref, error.message);
    const data = { code: error.code, error: error.message };
    await store.append([{ ...entryOf(asking, 'rotation.refused', data), client: ref }], `refused ${id}`);
    return true;
  }
}

function compromisedOf(ref: ClientRef, { compromised, exposed }: Asking): Compromised | null {
  const kids = exposed?.get(ref);
  return kids === undefined ? compromised : { kids };
}

const REFUSALS = [
  'not_found',
  'not_enrolled',
  'not_eligible',
  'under_way',
  'algorithm_unsupported',
  'key_destroyed',
] as const;

function isRefusal(error: unknown): error is RekeydError {
  return REFUSALS.some((code) => hasCode(error, code));
}

/** Of a whole app or fleet, a client is left alone while its application may sign with a key of its own. */
function isSkipped(held: Loaded | null, { isCompromise, exposed, tally }: Asking): boolean {
  if (held === null) return false;
  const { record } = held;
  const { ref, enrolment } = record;
  // A key of ours that is only offered to a found client leaves it as it was.
  if (exposed?.get(ref)?.some((kid) => findKey(record, kid) !== undefined)) return false;
  // A held client's key is in our store, so a compromise of all keys is about it too.
  if (enrolment === 'enrolled' || (isCompromise && enrolment === 'held'))
    return !isEligible(record.server.observed.client);
  tally.skipped.set(ref, enrolment);
  return true;
}
