/** Starting rotations: from a sweep, from a request, always the same way. */
import { createHash } from 'node:crypto';
import { adopt, observed } from '../src/core/adopt.ts';
import { type RotationRequest, request } from '../src/core/begin.ts';
import type { Change } from '../src/core/change.ts';
import type { ClientRef } from '../src/core/client.ts';
import type { ObservedClient } from '../src/core/document.ts';
import type { ClientPolicy } from '../src/core/policy.ts';
import type { Cause, ClientRecord } from '../src/core/record.ts';
import { hasCode, RekeydError } from '../src/errors.ts';
import { commitOf } from '../src/rotation/commit.ts';
import type { Loaded } from '../src/store/records.ts';
import type { Store } from '../src/store/store.ts';
import type { Listed, Missing } from './listing.ts';

/** The same job asking for the same client again means the same rotation, however often the job is retried. */
export function rotationId(job: string, ref: ClientRef): string {
  return `r${createHash('sha256').update(`${job} ${ref}`).digest('base64url').slice(0, 21)}`;
}

export interface StartRequest extends Cause {
  readonly id: string;
  readonly compromised: RotationRequest['compromised'];
}

/**
 * Commits the start of a rotation, or joins the one under way. Somebody else's commit in between is no failure: the record is loaded and asked
 * again.
 * @param found as the server listed it; null when it did not
 * @returns the id of the rotation that answers the request
 * @throws RekeydError `not_found` when neither we nor the server know this client
 */
export async function startRotation(
  store: Store,
  ref: ClientRef,
  found: Listed | null,
  policy: ClientPolicy,
  asked: StartRequest,
): Promise<string> {
  for (;;) {
    const loaded = await store.load(ref);
    const now = loaded?.now ?? (await store.now());
    const known = takeIn(ref, loaded, found, policy, asked, now);
    const started = request(known.record, asked, policy, now);
    // Whoever asked is told that the rotation will happen. What a sweep starts, the next sweep would find again.
    const durable = asked.request !== null;
    if (loaded !== null && started.record === known.record) {
      if (!durable) return started.rotation;
      // Not with the record: whoever is at work on it would have to do its step again.
      if (started.entries.length > 0) await store.append(started.entries);
      // Whoever began what is under way may still wait to hear that it is on disk, or may have given up.
      if (await store.confirm(ref, loaded.version)) return started.rotation;
      continue;
    }
    const change = { record: started.record, entries: [...known.entries, ...started.entries] };
    try {
      await store.commit(commitOf(change, policy, { expected: loaded, durable }));
      return started.rotation;
    } catch (error) {
      if (!hasCode(error, 'store_conflict') && !hasCode(error, 'store_fenced')) throw error;
    }
  }
}

function takeIn(
  ref: ClientRef,
  loaded: Loaded | null,
  found: Listed | null,
  policy: ClientPolicy,
  cause: Cause,
  now: number,
): Change {
  if (loaded === null) {
    if (found !== null) return adopt(ref, found.client, cause, now);
    throw new RekeydError(
      'not_found',
      `The API lists no client ${ref}. Check the reference, and that the client was not deleted.`,
    );
  }
  return takeSeen(loaded.record, found, policy);
}

/** What was seen since the list was read is not undone by it: the record then stays the same object. */
export function takeSeen(record: ClientRecord, found: Listed | Missing | null, policy: ClientPolicy): Change {
  if (found === null || found.readAt <= record.observed.at) return { record, entries: [] };
  return observed(record, found.client, policy, found.readAt);
}

/** Adopts a client that is not known yet; true when this call did. */
export async function adoptClient(
  store: Store,
  ref: ClientRef,
  client: ObservedClient,
  policy: ClientPolicy,
  cause: Cause,
): Promise<boolean> {
  try {
    const change = adopt(ref, client, cause, await store.now());
    await store.commit(commitOf(change, policy, { expected: null, durable: false }));
    return true;
  } catch (error) {
    if (hasCode(error, 'store_conflict')) return false;
    throw error;
  }
}
