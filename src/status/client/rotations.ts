/** Rotations of one client as people read them. */
import type { RotationSummary } from '../../core/history.ts';
import type { RotationView } from '../views.ts';

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
