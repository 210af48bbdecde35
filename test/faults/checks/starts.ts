/** Rotations that a schedule begins, as they are committed. */
import type { StoredRecord } from '../evidence/evidence.ts';

export interface Start {
  readonly id: string;
  /** The policy whose tick began it. */
  readonly policy: string;
  /** The id of the wave that it belongs to; null: of none. */
  readonly wave: string | null;
}

const SCHEDULE = 'schedule:';

/** What a schedule begins with this commit; null when it begins nothing. */
export function startIn(before: StoredRecord | null, { rotation }: StoredRecord): Start | null {
  const { id, actor = '', wave } = rotation ?? {};
  if (id === undefined || id === before?.rotation?.id || !actor.startsWith(SCHEDULE)) return null;
  return { id, policy: actor.slice(SCHEDULE.length), wave: wave?.id ?? null };
}
