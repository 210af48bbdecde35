/** Workers ask the store for a turn before each call. Who had been given one when the store was told to give no more may still use it. */
import type { LogEntry } from '../../emulator/log.ts';
import type { Evidence } from '../evidence/evidence.ts';
import type { Event } from '../evidence/history.ts';
import { SAME_MS } from './clocks.ts';
import { announces } from './intents.ts';
import { carriesKeys } from './keys.ts';

/** True for a PATCH whose turn may have been given before `at`: a run of its client had begun by then, and it is the first one since. */
export function hadItsTurn(request: LogEntry, ref: string, at: number, { events, requests }: Evidence): boolean {
  const intent = events.findLast((event) => announces(event, ref) && event.at <= request.at + SAME_MS);
  if (intent === undefined) return false;
  // The turn comes before the intent, and each PATCH has an intent of its own.
  if (intent.at <= at) return isAnnounced(request, ref, { events, requests });
  const claim = events.findLast((event) => isClaimOf(event, ref) && event.at <= intent.at);
  if (claim === undefined || claim.at > at) return false;
  const isEarlier = (other: LogEntry) => other.at > at + SAME_MS && other.at < request.at;
  return !requests.some((other) => other.client === request.client && carriesKeys(other) && isEarlier(other));
}

/** Not more PATCHes came until this one than were announced. */
function isAnnounced(
  request: LogEntry,
  ref: string,
  { events, requests }: Pick<Evidence, 'events' | 'requests'>,
): boolean {
  const announced = events.filter((event) => announces(event, ref) && event.at <= request.at + SAME_MS);
  const came = requests.filter(
    (other) => other.client === request.client && carriesKeys(other) && other.at <= request.at,
  );
  return came.length <= announced.length;
}

/** True for a look by a run that had begun by then. */
export function isOfEarlierRun(request: LogEntry, ref: string, at: number, { events }: Evidence): boolean {
  const claim = events.findLast((event) => isClaimOf(event, ref) && event.at <= request.at + SAME_MS);
  return claim === undefined || claim.at <= at;
}

function isClaimOf(event: Event, ref: string): boolean {
  return event.kind === 'claim' && event.ref === ref;
}
