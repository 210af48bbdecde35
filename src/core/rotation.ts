/** A rotation under way: one change of the active key. */
import type { Format, ObservedKeys } from './document.ts';
import type { Cause, Mark, RotationSummary } from './history.ts';
import { type Algorithm, activeKey } from './keys.ts';
import type { Policy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import type { Retirement } from './retirement.ts';
import type { Tries } from './tries.ts';
import type { WaveRef } from './wave.ts';

interface RotationBase extends Cause {
  readonly id: string;
  readonly startedAt: number;
  readonly alg: Algorithm;
  readonly format: Format;
  /** Kept from the start: a rollback must restore the foreign keys that this rotation left out, even if the policy changed. */
  readonly foreignKeys: Policy['foreignKeys'];
  /**
   * Set when a key may have leaked (`kid`, or null for the one in use): no window, no soak, no overlap, and no rollback to it. `at`: when that was reported,
   * ms since the Unix epoch; absent where an earlier version noted it.
   */
  readonly compromised: { readonly kid: string | null; readonly at?: number } | null;
  /**
   * What the server showed before our first PATCH: a rollback restores it. Null until something was sent. One that was looked at later may already
   * show our own key.
   */
  readonly before: (ObservedKeys & { readonly sentAt: number }) | null;
  /** How many keys it made. A key that the server does not take is replaced by another one, but not for ever. */
  readonly keysMade: number;
  /** The wave that it belongs to; absent when no cohort went first. */
  readonly wave?: WaveRef;
  /** Its key is offered to the application of a found client, and takes over only when that takes it. */
  readonly adopting?: true;
  /** A person ended it: it goes to whichever key the server takes. */
  readonly abandoned: Cause | null;
  /**
   * Set on a rollback, which makes no key: the retirement of the key that it puts back. When the rollback fails, that retirement goes on.
   */
  readonly rollsBack?: Retirement;
  /** Of a compromise: the standby key was not exposed, although signers hold it. */
  readonly keepStandby?: true;
  /** A person wants to see on this client whether the server verifies an alg that nobody was seen to sign in with. */
  readonly tryAlg?: true;
  readonly marks: readonly Mark[];
  readonly tries: Tries;
}

/** The server accepts several keys at once: old and new stand side by side until the new one is proven. */
export interface OverlapRotation extends RotationBase {
  readonly strategy: 'overlap';
  readonly phase:
    | { readonly name: 'requested' }
    | { readonly name: 'stored'; readonly kid: string }
    | { readonly name: 'delivered'; readonly kid: string; readonly at?: number }
    | { readonly name: 'published'; readonly kid: string; readonly at: number }
    | { readonly name: 'proven'; readonly kid: string }
    /** The application of a found client may take it, or not. */
    | { readonly name: 'offered'; readonly kid: string; readonly at: number }
    | { readonly name: 'reverting'; readonly kid: string; readonly why: string };
}

/** The server accepts exactly one key: one PATCH changes over, and a refused proof changes back. */
export interface CutoverRotation extends RotationBase {
  readonly strategy: 'cutover';
  readonly phase:
    | { readonly name: 'requested' }
    | { readonly name: 'stored'; readonly kid: string }
    /** `at`: since when signers have it; absent where that does not matter, and where an earlier version noted the phase. */
    | { readonly name: 'delivered'; readonly kid: string; readonly at?: number }
    | { readonly name: 'cut_over'; readonly kid: string; readonly at: number }
    | { readonly name: 'proven'; readonly kid: string }
    | { readonly name: 'reverting'; readonly kid: string; readonly why: string };
}

export type Rotation = OverlapRotation | CutoverRotation;

/** The kid that a rotation brings in, once it has one. */
export function incomingKid(rotation: Rotation | null): string | null {
  if (rotation === null || rotation.phase.name === 'requested') return null;
  return rotation.phase.kid;
}

/** True while the new key stands, or is about to stand, in the published document. */
export function isPublishing({ phase }: Rotation): boolean {
  switch (phase.name) {
    case 'requested':
    case 'stored':
    case 'reverting':
      return false;
    case 'delivered':
    case 'published':
    case 'cut_over':
    case 'proven':
    case 'offered':
      return true;
    default:
      return phase satisfies never;
  }
}

/** False only when nothing that holds the new key was sent. */
export function mayBePublished({ before }: Rotation): boolean {
  return before !== null;
}

/** The retirement that a rollback has taken up, while the rollback itself publishes nothing: in or out of the document, its key stays as it was. */
export function suspended(rotation: Rotation | null): readonly Retirement[] {
  return rotation?.rollsBack === undefined || isPublishing(rotation) ? [] : [rotation.rollsBack];
}

/** Why a rotation ends that a person has ended. */
export function whyAbandoned({ abandoned }: Rotation): string {
  return `abandoned: ${abandoned?.reason ?? ''}`;
}

/** Each caller hands a phase of this rotation's own strategy. */
export function inPhase(rotation: Rotation, phase: Rotation['phase']): Rotation {
  return { ...rotation, phase } as Rotation;
}

/** What is told of a rotation that has not ended. A client that waits for a person counts as failed until somebody asks again. */
export function runningSummary(record: ClientRecord, rotation: Rotation): RotationSummary {
  const { id, actor, reason, request, claimedBy, strategy, startedAt, marks } = rotation;
  const { halted } = record;
  const reportedAt = rotation.compromised?.at;
  return {
    id,
    actor,
    reason,
    request,
    ...(claimedBy !== undefined && { claimedBy }),
    strategy,
    startedAt,
    marks,
    state: halted === null ? 'running' : 'failed',
    kid: incomingKid(rotation),
    replaces: activeKey(record)?.kid ?? null,
    activeAt: null,
    endedAt: null,
    error: halted,
    ...(rotation.rollsBack !== undefined && { rollback: true as const }),
    ...(rotation.wave !== undefined && { wave: rotation.wave }),
    ...(reportedAt !== undefined && { exposure: { reportedAt, refusedAt: null, tokensUntil: null } }),
  };
}
