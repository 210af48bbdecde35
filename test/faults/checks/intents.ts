/** What is announced in the store before it is done. */
import type { LogEntry } from '../../emulator/log.ts';
import type { Evidence } from '../evidence/evidence.ts';
import type { CommitEvent, Event } from '../evidence/history.ts';
import { SAME_MS } from './clocks.ts';
import { carriesKeys } from './keys.ts';

/** A commit that announces a PATCH. */
export function announces(event: Event, ref: string): event is CommitEvent {
  return event.kind === 'commit' && event.ref === ref && event.drafts.some(isOfPatch);
}

function isOfPatch(draft: string): boolean {
  const { type, data } = JSON.parse(draft);
  return type === 'key.publishing' && data.served !== true;
}

/** The commit that announced this PATCH; null when none did, or another PATCH came of it: each is announced anew. */
export function intentOf(request: LogEntry, ref: string, { events, requests }: Evidence): CommitEvent | null {
  const intent = events.findLast(
    (event): event is CommitEvent => announces(event, ref) && event.at <= request.at + SAME_MS,
  );
  if (intent === undefined) return null;
  const first = requests.find(
    (other) => other.client === request.client && carriesKeys(other) && other.at >= intent.at - SAME_MS,
  );
  return first === request ? intent : null;
}
