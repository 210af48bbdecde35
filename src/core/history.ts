/** What is told about a rotation: while it runs, and in the list of those that ended, which stands beside the record. */
import type { AuditData } from './audit.ts';
import type { WaveRef } from './wave.ts';

export interface Cause {
  readonly actor: string;
  readonly reason: string;
  /** The request that asked for this, when one did. */
  readonly request: string | null;
  /** Who was authenticated, such as `os:alice` or `token:siem`. Absent: nobody was, and `actor` is only what the caller says. */
  readonly claimedBy?: string;
}

/** A rotation in one of these has ended. */
export const ENDED_STATES = ['finished', 'failed', 'rolled_back'] as const;

/** `active`: the new key signs and is proven; the old one is still on its way out. */
export const ROTATION_STATES = ['running', 'active', ...ENDED_STATES] as const;

export type RotationState = (typeof ROTATION_STATES)[number];

/** Something that happened to a key, for its lifeline. */
export interface Mark {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly what: 'patched' | 'accepted' | 'refused';
  /** The key that was proven; null for a PATCH. */
  readonly kid: string | null;
}

/** Of a key that was reported as compromised: how long it went on. Times are ms since the Unix epoch. */
export interface Exposure {
  readonly reportedAt: number;
  /** When the server was seen to refuse the key; null until then, and where no private half is there to show it. */
  readonly refusedAt: number | null;
  /** Access tokens that were issued with the key are invalid from then on; null until it is refused, and where the server does not tell how long they live. */
  readonly tokensUntil: number | null;
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
  /** Of the key that it replaces, or has replaced before; absent when none was reported. */
  readonly exposure?: Exposure;
}

/** A rotation that does not come to its end is tried again and again: its latest marks tell enough. */
const MOST_MARKS = 20;

export function marked(marks: readonly Mark[], mark: Mark): readonly Mark[] {
  return [...marks, mark].slice(-MOST_MARKS);
}

/** From the report of a key until the server was seen to refuse it; null where nothing has shown that. */
export function exposedSeconds({ reportedAt, refusedAt }: Exposure): number | null {
  return refusedAt === null ? null : Math.max(0, refusedAt - reportedAt) / 1000;
}

/** What the audit log says of a rotation that is finished. `seconds` is {@link exposedSeconds}. */
export function completion({ exposure }: RotationSummary): AuditData {
  const outcome = 'finished';
  if (exposure === undefined) return { outcome };
  const { tokensUntil } = exposure;
  const seconds = exposedSeconds(exposure);
  const until = tokensUntil === null ? null : new Date(tokensUntil).toISOString();
  return { outcome, compromised: true, seconds, tokens_until: until };
}
