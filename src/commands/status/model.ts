/** The JSON document of `rekeyd status`. */
import type { ClientRef } from '../../core/client.ts';
import type { DueReason } from '../../core/due.ts';
import type { ManagedKey } from '../../core/record.ts';

/** Members as in the JSON document: times are RFC 3339, ages in seconds on the store's clock. */
export interface ClientStatus {
  readonly client: ClientRef;
  /** The OAuth `client_id`. */
  readonly client_id: string;
  /** Null: the config no longer takes care of this client. */
  readonly policy: string | null;
  readonly active: (KeyStatus & { readonly age_seconds: number }) | null;
  readonly keys: readonly KeyStatus[];
  readonly next_due: string | null;
  readonly due: DueReason | null;
  readonly rotation: RotationStatus | null;
  readonly retiring: readonly RetirementStatus[];
  readonly last_error: string | null;
  readonly halted: string | null;
}

export interface KeyStatus {
  readonly kid: string;
  readonly alg: string;
  readonly state: ManagedKey['state'];
  readonly created_at: string;
  readonly published_at: string | null;
  readonly activated_at: string | null;
  readonly destroyed_at: string | null;
  readonly proof: ManagedKey['proof'];
}

export interface RotationStatus {
  readonly id: string;
  readonly strategy: 'overlap' | 'cutover';
  readonly phase: string;
  readonly kid: string | null;
  readonly since: string;
  readonly attempts: number;
  readonly compromised: boolean;
  readonly actor: string;
  readonly reason: string;
}

export interface RetirementStatus {
  readonly kid: string | null;
  readonly rotation: string;
  readonly phase: string;
  /** Until when it stays; null for a key that never became active and goes at once. */
  readonly until: string | null;
}

export interface Status {
  readonly clients: readonly ClientStatus[];
  /** Deployments whose API key was refused. */
  readonly paused: readonly string[];
}
