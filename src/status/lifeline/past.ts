/** The past of a client: the rotations in its history and in its record. */
import type { RotationSummary } from '../../core/history.ts';
import type { ClientRecord } from '../../core/record.ts';
import { runningSummary } from '../../core/rotation.ts';

export interface Past {
  readonly record: ClientRecord;
  /** The oldest first, one under way included. */
  readonly summaries: readonly RotationSummary[];
  /** On the store's clock. */
  readonly now: number;
}

/** The oldest first: rotations in the history, those with an old key that is still kept, and the one under way. */
export function summariesOf(record: ClientRecord, history: readonly RotationSummary[]): readonly RotationSummary[] {
  const { rotation, retirements } = record;
  const leaving = [...retirements, ...(rotation?.rollsBack === undefined ? [] : [rotation.rollsBack])];
  const running = rotation === null ? [] : [runningSummary(record, rotation)];
  // Where the history and the record both have it, the history counts.
  const all = [...leaving.map((old) => old.rotation), ...running, ...history];
  return [...new Map(all.map((summary) => [summary.id, summary])).values()].sort((a, b) => a.startedAt - b.startedAt);
}

/** Each time that a key became active. */
export function activationsOf(summaries: readonly RotationSummary[]) {
  const became = summaries.flatMap(({ kid, replaces, activeAt: at }) => (at === null ? [] : [{ at, kid, replaces }]));
  return became.sort((a, b) => a.at - b.at);
}
