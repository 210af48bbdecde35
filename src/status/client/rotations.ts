/** Rotations of one client: one of them by its id, and all of them as people read them. */
import type { ClientRef } from '../../core/client.ts';
import { ENDED_STATES, type RotationState, type RotationSummary } from '../../core/history.ts';
import type { ClientRecord } from '../../core/record.ts';
import { runningSummary } from '../../core/rotation.ts';
import type { Store } from '../../store/store.ts';
import type { RotationView } from '../views.ts';

/** From the record while the rotation is under way or its old key is kept, and from the history after that. Undefined: the history does not go back so far. */
export async function summaryOf(
  store: Pick<Store, 'history'>,
  id: string,
  client: ClientRef,
  record: ClientRecord | undefined,
): Promise<RotationSummary | undefined> {
  if (record?.rotation?.id === id) return runningSummary(record, record.rotation);
  const leaving = record?.retirements.find(({ rotation, role }) => rotation.id === id && role === 'replaced');
  return leaving?.rotation ?? (await store.history(client)).find((summary) => summary.id === id);
}

const ENDED: readonly RotationState[] = ENDED_STATES;

/** Whether nothing more happens to it. */
export function hasEnded({ state }: Pick<RotationSummary, 'state'>): boolean {
  return ENDED.includes(state);
}

/** @param summaries the oldest first. @returns the newest first */
export function rotationViews(summaries: readonly RotationSummary[]): readonly RotationView[] {
  return summaries.toReversed().map(viewOf);
}

function viewOf(summary: RotationSummary): RotationView {
  const { id, state, strategy, kid, replaces, actor, reason, error, claimedBy, rollback } = summary;
  return {
    ...{ id, state, strategy, kid, replaces, rollback: rollback ?? false },
    ...{ actor, claimed_by: claimedBy ?? null, reason },
    started_at: new Date(summary.startedAt).toISOString(),
    active_at: iso(summary.activeAt),
    ended_at: iso(summary.endedAt),
    error,
  };
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
