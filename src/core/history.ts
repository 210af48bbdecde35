/** What is told about a rotation: while it runs, and in the list of those that ended, which stands beside the record. */
import type { WaveRef } from './wave.ts';

export interface Cause {
  readonly actor: string;
  readonly reason: string;
  /** The request that asked for this, when one did. */
  readonly request: string | null;
}

/** `active`: the new key signs and is proven; the old one is still on its way out. */
export type RotationState = 'running' | 'active' | 'finished' | 'failed' | 'rolled_back';

/** Something that happened to a key, for its lifeline. */
export interface Mark {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly what: 'patched' | 'accepted' | 'refused';
  /** The key that was proven; null for a PATCH. */
  readonly kid: string | null;
}

/** What `status`, `--wait` and the on-demand API tell about a rotation. */
export interface RotationSummary extends Cause {
  readonly id: string;
  readonly state: RotationState;
  readonly strategy: 'overlap' | 'cutover';
  /** The key that it brought in; null before one was made. */
  readonly kid: string | null;
  /** The key that was active before; null when that was a foreign key. */
  readonly replaces: string | null;
  readonly startedAt: number;
  readonly activeAt: number | null;
  readonly endedAt: number | null;
  readonly error: string | null;
  /** PATCHes and proofs, oldest first. */
  readonly marks: readonly Mark[];
  /** `kid` was in use before `replaces`, and was put back. */
  readonly rollback?: true;
  /** The wave that it belonged to: one that a person undoes later counts there as failed. */
  readonly wave?: WaveRef;
}

/** A rotation that does not come to its end is tried again and again: its latest marks tell enough. */
const MOST_MARKS = 20;

export function marked(marks: readonly Mark[], mark: Mark): readonly Mark[] {
  return [...marks, mark].slice(-MOST_MARKS);
}
