/** What a transition gives back: the next record, and all that is committed with it. */
import type { AuditData, AuditDraft, AuditType } from './audit.ts';
import type { Cause, RotationSummary } from './history.ts';
import type { ClientRecord } from './record.ts';
import type { WaveOutcome } from './wave.ts';

export interface Transition {
  readonly record: ClientRecord;
  readonly entries: readonly AuditDraft[];
  /** Rotations that ended with it: they go to the history. */
  readonly ended?: readonly RotationSummary[];
  /** What a rotation came to, for its wave to count. */
  readonly counted?: WaveOutcome;
}

/** Who acts when no rotation is under way: the worker itself. */
export const UPKEEP: Cause & { readonly id: null } = { id: null, actor: 'rekeyd', reason: 'upkeep', request: null };

/** A rotation, or its summary: an entry names it and repeats who asked for it. */
export interface On extends Cause {
  readonly id: string | null;
}

export function entry({ ref }: ClientRecord, on: On, type: AuditType, data: AuditData): AuditDraft {
  const { id, actor, reason, request, claimedBy } = on;
  return {
    type,
    client: ref,
    rotation: id,
    actor,
    ...(claimedBy !== undefined && { claimed_by: claimedBy }),
    reason,
    data: request === null ? data : { request, ...data },
  };
}

/** One transition after the other, as one. */
export function andThen(first: Transition, next: (record: ClientRecord) => Transition): Transition {
  const second = next(first.record);
  const counted = second.counted ?? first.counted;
  return {
    record: second.record,
    entries: [...first.entries, ...second.entries],
    ended: [...(first.ended ?? []), ...(second.ended ?? [])],
    ...(counted !== undefined && { counted }),
  };
}
