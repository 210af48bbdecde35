/** Starting rotations: from a sweep, from a request, always the same way. */
import { createHash } from 'node:crypto';
import type { RotationRequest } from '../src/core/begin.ts';
import { type ClientRef, notListed } from '../src/core/client.ts';
import { found, observed } from '../src/core/enrolment.ts';
import type { Cause } from '../src/core/history.ts';
import type { ClientPolicy } from '../src/core/policy.ts';
import type { ClientRecord } from '../src/core/record.ts';
import { request } from '../src/core/request.ts';
import { andThen, type Transition } from '../src/core/transition.ts';
import { hasCode, RekeydError } from '../src/errors.ts';
import { commitOf, isOutrun } from '../src/rotation/commit.ts';
import { knownOtherwise } from '../src/rotation/naming.ts';
import type { Loaded } from '../src/store/records.ts';
import type { Store } from '../src/store/store.ts';
import type { Listed, Missing } from './listing.ts';

/** One job asks for one rotation of a client, however often the job is retried. Another store has other rotations. */
export function rotationId({ id }: Pick<Store, 'id'>, job: string, ref: ClientRef): string {
  return `r${createHash('sha256').update(`${id} ${job} ${ref}`).digest('base64url').slice(0, 21)}`;
}

export interface Answered {
  /** The id of the rotation that answers who asked. */
  readonly rotation: string;
  /** False: it was under way, or somebody was answered with it before. */
  readonly isNew: boolean;
}

/**
 * Commits the start of a rotation, or joins the one under way. Another commit in between is no failure: the record is loaded and asked
 * again.
 * @param listed as the server listed it; null when it did not, or nobody asked
 * @param held what was just loaded; absent: it is loaded
 * @throws RekeydError `not_found` when neither we nor the server know this client; as {@link request}
 */
export async function startRotation(
  store: Store,
  ref: ClientRef,
  listed: Listed | null,
  policy: ClientPolicy,
  asked: RotationRequest,
  held?: Loaded | null,
): Promise<Answered> {
  // A person who asked is told that the rotation will happen. What a sweep starts, the next sweep would find again.
  const durable = asked.request !== null;
  for (let known = held; ; known = undefined) {
    const loaded = known === undefined ? await store.load(ref) : known;
    const answer = loaded === null ? null : await earlierAnswer(asked, loaded.record, store);
    if (answer !== null && loaded !== null) {
      // The answer may have been lost because it could not be confirmed.
      if (!durable || (await store.confirm(ref, loaded.op))) return { rotation: answer, isNew: false };
      continue;
    }
    const now = loaded?.now ?? (await store.now());
    const taken = takeIn(ref, loaded, listed, policy, asked);
    const started = request(taken.record, asked, policy, now);
    if (loaded !== null && started.record === taken.record) {
      const joined = { rotation: started.rotation, isNew: false };
      if (!durable) return joined;
      // Not with the record, so that a worker which is at work on it is not disturbed; and once, however often the job is retried.
      if (started.entries.length > 0) await store.append(started.entries, `requested ${asked.id}`);
      // Should it end meanwhile, it is still the one that was joined.
      await store.answer({ request: asked.id, rotation: started.rotation });
      // What began it may not be on disk yet.
      if (await store.confirm(ref, loaded.op)) return joined;
      continue;
    }
    const change = andThen(taken, () => started);
    const answers = durable ? { answers: { request: asked.id, rotation: started.rotation } } : {};
    try {
      await store.commit({ ...commitOf(change, policy, { from: loaded, durable }), ...answers });
      return { rotation: started.rotation, isNew: true };
    } catch (error) {
      if (!isOutrun(error)) throw error;
    }
  }
}

/**
 * The rotation that answered before: a request, or the same run of a schedule. It may have ended since. A run that is tried again begins no second rotation
 * of a client with a first one that failed meanwhile: both would go by one id, in the audit trail too.
 */
async function earlierAnswer(
  { id, request }: RotationRequest,
  { ref, retirements }: ClientRecord,
  store: Store,
): Promise<string | null> {
  if (request !== null) return store.answered(id);
  const isLeaving = retirements.some(({ rotation }) => rotation.id === id);
  return isLeaving || (await store.history(ref)).some((ended) => ended.id === id) ? id : null;
}

function takeIn(
  ref: ClientRef,
  loaded: Loaded | null,
  listed: Listed | null,
  policy: ClientPolicy,
  cause: Cause,
): Transition {
  if (loaded !== null) return takeSeen(loaded.record, listed, policy);
  if (listed !== null) return found(ref, listed.client, cause, listed.readAt);
  throw new RekeydError('not_found', notListed(ref));
}

/** The record as the list shows it. The same object when the client was seen since the list was read, or no list was read. */
export function takeSeen(record: ClientRecord, listed: Listed | Missing | null, policy: ClientPolicy): Transition {
  if (listed === null || listed.readAt <= record.server.observed.at) return { record, entries: [] };
  return observed(record, listed.client, policy, listed.readAt);
}

/**
 * Takes in a client that is not known yet. It counts as seen when its list was read: after a long list, a rotation that begins at once looks at the server
 * again before it writes.
 * @returns true when this call took it in
 */
export async function takeFound(
  store: Pick<Store, 'commit'>,
  ref: ClientRef,
  { client, readAt }: Listed,
  policy: ClientPolicy,
  cause: Cause,
): Promise<boolean> {
  try {
    const change = found(ref, client, cause, readAt);
    await store.commit(commitOf(change, policy, { from: null, durable: false }));
    return true;
  } catch (error) {
    if (hasCode(error, 'store_conflict')) return false;
    throw error;
  }
}

/** Changes a record as a transition says. When another worker commits in between, the transition is made again from the new record. */
export async function apply(
  store: Store,
  ref: ClientRef,
  policy: ClientPolicy,
  change: (record: ClientRecord, now: number) => Transition,
): Promise<Transition> {
  for (;;) {
    const loaded = await store.load(ref);
    if (loaded === null) {
      const hint = await knownOtherwise(store, ref);
      throw new RekeydError('not_found', hint ?? `${ref} is not known. \`rekeyd plan ${ref}\` asks the API for it.`);
    }
    const transition = andThen({ record: loaded.record, entries: [] }, (record) => change(record, loaded.now));
    if (transition.record === loaded.record) return transition;
    try {
      await store.commit(commitOf(transition, policy, { from: loaded, durable: true }));
      return transition;
    } catch (error) {
      if (!isOutrun(error)) throw error;
    }
  }
}
