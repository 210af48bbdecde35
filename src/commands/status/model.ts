/** The JSON document of `rekeyd status`. */
import type { ClientRef } from '../../core/client.ts';
import type { DueReason } from '../../core/due.ts';
import type { ManagedKey } from '../../core/keys.ts';
import type { Enrolment } from '../../core/record.ts';
import type { Retirement } from '../../core/retirement.ts';
import type { ClientState } from '../../core/state.ts';

/** Members as in the JSON document: times are RFC 3339, ages in seconds on the store's clock. */
export interface ClientStatus {
  readonly client: ClientRef;
  /** The OAuth `client_id`. */
  readonly client_id: string;
  /** Null: the config no longer takes care of this client. */
  readonly policy: string | null;
  readonly enrolment: Enrolment;
  readonly state: ClientState;
  /** A key that was reported as compromised still signs in, and no rotation is under way that replaces it. */
  readonly compromised: boolean;
  readonly active: (KeyStatus & { readonly age_seconds: number }) | null;
  readonly keys: readonly KeyStatus[];
  /** Null: no schedule rotates it. */
  readonly next_due: string | null;
  readonly due: DueReason | null;
  readonly rotation: RotationStatus | null;
  readonly retiring: readonly RetirementStatus[];
  /** What went wrong last and still matters. */
  readonly last_error: string | null;
  readonly halted: string | null;
}

export interface KeyStatus {
  readonly kid: string;
  /** Null for a key that is gone. */
  readonly alg: string | null;
  readonly state: ManagedKey['state'] | 'destroyed';
  readonly created_at: string | null;
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
  /** While its key is offered to the application of a found client: when that is withdrawn. Else null. */
  readonly offered_until: string | null;
  readonly since: string;
  /** Failures in a row of the step under way. */
  readonly attempts: number;
  readonly next_try: string | null;
  readonly error: string | null;
  readonly compromised: boolean;
  readonly actor: string;
  readonly reason: string;
}

export interface RetirementStatus {
  readonly kid: string | null;
  readonly rotation: string;
  readonly role: Retirement['role'];
  readonly phase: Retirement['phase'];
  /** Until when it stays. */
  readonly until: string;
  readonly attempts: number;
  readonly error: string | null;
}

export interface DeploymentStatus {
  readonly deployment: string;
  /** Why nothing is sent; null when it is not paused. */
  readonly paused: string | null;
  readonly throttled_until: string | null;
}

/** A wave of a policy whose rest is not begun; counts are of clients. */
export interface WaveStatus {
  readonly policy: string;
  readonly wave: string;
  /** `cohort`: only the cohort is begun. `rest`: the others are being begun. `stopped`: nothing begins until a person resumes. */
  readonly phase: 'cohort' | 'rest' | 'stopped';
  /** How many were due when it began, and how many of them go first. */
  readonly clients: number;
  readonly first: number;
  /** Of those that go first: not ended yet, and in use of their new keys. */
  readonly waiting: number;
  readonly active: number;
  /** Of all. */
  readonly failed: number;
  readonly since: string;
  /** When the others follow at the earliest. */
  readonly rest_after: string;
  /** Why it stopped; null when it did not. */
  readonly stopped: string | null;
}

export interface Status {
  /** How many clients are in each state. */
  readonly counts: Readonly<Record<ClientState, number>>;
  readonly clients: readonly ClientStatus[];
  readonly deployments: readonly DeploymentStatus[];
  readonly waves: readonly WaveStatus[];
}
