/** What is shown of a client, and of what keeps rekeyd from its work. */
import type { ClientRef } from '../core/client.ts';
import type { DriftKind } from '../core/drift.ts';
import type { DueReason } from '../core/due.ts';
import type { ManagedKey } from '../core/keys.ts';
import type { Scope } from '../core/pause.ts';
import type { Enrolment } from '../core/record.ts';
import type { Retirement } from '../core/retirement.ts';
import type { ClientState } from '../core/state.ts';
import type { ExposureStatus } from './client/exposure.ts';

/** Members as in the JSON document: times are RFC 3339, ages in seconds on the store's clock. */
export interface ClientStatus {
  readonly client: ClientRef;
  /** The OAuth `client_id`. */
  readonly client_id: string;
  /** Null: the config no longer takes care of this client. */
  readonly policy: string | null;
  readonly enrolment: Enrolment;
  readonly state: ClientState;
  /** The key in use is older than `must_by`, whatever else the client is up to. */
  readonly overdue: boolean;
  /** By a person: no scheduled rotation begins. Of several pauses, the one that lasts longest. */
  readonly paused: PauseStatus | null;
  /** A key that was reported as compromised still signs in, and no rotation is under way that replaces it. */
  readonly compromised: boolean;
  readonly active: (KeyStatus & { readonly age_seconds: number }) | null;
  readonly keys: readonly KeyStatus[];
  /** Null: no schedule rotates it. */
  readonly next_due: string | null;
  readonly due: DueReason | null;
  readonly rotation: RotationStatus | null;
  readonly retiring: readonly RetirementStatus[];
  /** What its signers report; null: their reports were never read. */
  readonly signers: SignersStatus | null;
  /** What the next step waits for. */
  readonly waiting: WaitStatus | null;
  /** What its server shows that rekeyd did not publish; null: nothing. `rekeyd drift` says more. */
  readonly drift: DriftStatus | null;
  /** What went wrong last and still matters. */
  readonly last_error: string | null;
  readonly halted: string | null;
  /** Of clients that were named: keys that were reported as compromised, the latest first, as far as the history goes. Absent for others, and where there were none. */
  readonly exposures?: readonly ExposureStatus[];
  /** Of clients that were named: what a person does about the most pressing thing; null: nothing has to be done. Absent for others. */
  readonly advice?: string | null;
}

export interface DriftStatus {
  /** When it was first seen. */
  readonly since: string;
  readonly what: readonly DriftKind[];
  /** In words. */
  readonly differences: readonly string[];
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
  /** It puts the previous key back, `kid`. */
  readonly rollback: boolean;
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

/** It has one of the members `client`, `app`, `policy` and `all`: what it covers. */
export type PauseStatus = Scope & {
  readonly actor: string;
  readonly reason: string;
  readonly since: string;
  /** Null: until somebody ends it. */
  readonly until: string | null;
};

export interface SignersStatus {
  readonly heard_at: string;
  /** Why reports could not be read. */
  readonly error: string | null;
  readonly reports: readonly {
    /** `<host>-<pid>` */
    readonly name: string;
    readonly kids: readonly string[];
    readonly signing: string | null;
    readonly at: string;
    /** False: it is too old to count. */
    readonly recent: boolean;
  }[];
  /** Names of those that reported lately, and do not hold the key that a rotation brings in. */
  readonly missing: readonly string[];
}

export interface WaitStatus {
  readonly why: string;
  /** When it is looked at again. */
  readonly until: string;
}

export interface DeploymentStatus {
  readonly deployment: string;
  /** Why nothing is sent; null when it is not paused. */
  readonly paused: string | null;
  readonly throttled_until: string | null;
}

/** A wave of a policy that has not begun all of its clients; counts are of clients. */
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

/** Requests that a worker began and put off. */
export interface PutOffRequests {
  /** The oldest first, of those that are tried next. */
  readonly requests: readonly RequestStatus[];
  /** How many more wait for a later time. */
  readonly requests_more: number;
}

export interface RequestStatus {
  /** Of its job. */
  readonly request: string;
  /** As it was asked; null when it cannot be read. */
  readonly reason: string | null;
  /** What it waits for. */
  readonly why: string;
}

export interface WebhookStatus {
  readonly webhook: string;
  /** Entries of the audit log after the last one that it was told of. */
  readonly pending: number;
  /** Events that were given up, those that are tried once more, and those that were dropped because there were too many. */
  readonly dead: number;
  readonly again: number;
  readonly dropped: number;
  /** Since when nothing could be delivered; null: the last try succeeded. */
  readonly failing_since: string | null;
  readonly next_try: string | null;
  /** Of the last try that failed. */
  readonly error: string | null;
  /** Why nothing is sent until somebody changes its settings or has it tried again; null: it has not stopped. */
  readonly stopped: string | null;
}
