/** Begins the rotation of one client that somebody asked for. */
import type { ClientRef } from '../src/core/client.ts';
import { isEligible } from '../src/core/due.ts';
import { hasCode, RekeydError } from '../src/errors.ts';
import { appOf } from '../src/rotation/facts.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import type { Loaded } from '../src/store/records.ts';
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
  /** Those of them that nobody knows. */
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
  /** What may have leaked: a key by its `kid`, or with null the one in use. Null: nothing. */
  readonly compromised: { readonly kid: string | null } | null;
  readonly tally: Tally;
  /** What the config of this worker does not know is not waited for any more. */
  readonly isLast: boolean;
  readonly context: JobContext;
}

/** False when the store knows neither the client nor the key, and nothing was listed. */
export async function begin(
  ref: ClientRef,
  listed: Listed | null,
  { asked, job, compromised, tally, isLast, context }: Asking,
): Promise<boolean> {
  const { resources, queues } = context;
  const { store } = resources;
  const policy = clientPolicy(resources, ref);
  if (policy === null) {
    const message = `The config has no policy for ${ref}. Add its app (and the client, unless clients: all).`;
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
    if (!isNamed(asked.select) && !takeOver && isSkipped(held, compromised !== null, tally)) return true;
    const isRotated = takeOver || policy.adopt === 'overlap' || held?.record.enrolment === 'enrolled';
    if (compromised === null && awaitsProbe(policy) && isRotated) {
      tally.waiting.push(await askForProbe(appOf(ref), context));
      return true;
    }
    const before = takeOver || compromised !== null ? (held?.record.enrolment ?? 'found') : 'enrolled';
    const request = { id, actor, reason, request: job, compromised, takeOver, tryAlg, keepStandby };
    const { rotation } = await startRotation(store, ref, listed, policy, request, held);
    await queues.wake(ref, compromised !== null);
    tally.begun.set(ref, rotation);
    if (before !== 'enrolled') tally.takenOver.push({ client: ref, enrolment: before });
    return true;
  } catch (error) {
    // What the record says may be old.
    if ((hasCode(error, 'not_found') || hasCode(error, 'not_eligible')) && listed === null) return false;
    if (!isRefusal(error)) throw error;
    tally.errors.set(ref, error.message);
    const data = { request: job, code: error.code, error: error.message };
    const draft = { type: 'rotation.refused', client: ref, rotation: null, actor, reason, data } as const;
    await store.append([draft], `refused ${id}`);
    return true;
  }
}

const REFUSALS = ['not_found', 'not_enrolled', 'not_eligible', 'under_way', 'algorithm_unsupported'] as const;

function isRefusal(error: unknown): error is RekeydError {
  return REFUSALS.some((code) => hasCode(error, code));
}

/** Of a whole app or fleet, clients are left alone that an application may still sign for with a key of its own. */
function isSkipped(held: Loaded | null, isCompromise: boolean, tally: Tally): boolean {
  if (held === null) return false;
  const { record } = held;
  const { ref, enrolment } = record;
  // A held client's key is in our store, so a compromise of all keys is about it too.
  if (enrolment === 'enrolled' || (isCompromise && enrolment === 'held'))
    return !isEligible(record.server.observed.client);
  tally.skipped.set(ref, enrolment);
  return true;
}
