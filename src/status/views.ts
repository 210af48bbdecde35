/** What the page shows, and `rekeyd status`: of the fleet, of a list of clients, and of one client. Members as in the JSON document; times are RFC 3339. */
import type { AuditEntry } from '../core/audit.ts';
import type { ClientRef } from '../core/client.ts';
import type { RotationState } from '../core/history.ts';
import type { ClientState } from '../core/state.ts';
import type { DriftView } from './client/drift.ts';
import type { AuditLogStatus } from './fleet/audit-log.ts';
import type {
  ClientStatus,
  DeploymentStatus,
  PauseStatus,
  PutOffRequests,
  WaveStatus,
  WebhookStatus,
} from './model.ts';

export interface Views {
  fleet(): Promise<FleetView>;
  /** @throws RekeydError `usage` when `after` is no cursor; one of another order goes on in its own */
  clients(query: ClientQuery): Promise<ClientList>;
  /** Null: it is not known. */
  client(ref: ClientRef): Promise<ClientView | null>;
}

export interface FleetView extends PutOffRequests {
  /** When it was so, on the store's clock. */
  readonly at: string;
  /** How far the fleet is read, where all is not known yet; the counts are of what was read. Null: they are of all clients. */
  readonly reading: { readonly read: number; readonly of: number } | null;
  readonly clients: number;
  readonly counts: Readonly<Record<ClientState, number>>;
  /** Clients that sign in with a key that was reported as compromised. */
  readonly compromised: number;
  readonly drifted: number;
  /** Clients with a signer that does not report the new key, or goes on with the old one after `ready_timeout`. */
  readonly signers_missing: number;
  readonly due: DueCounts;
  readonly deployments: readonly DeploymentView[];
  readonly policies: readonly PolicyView[];
  readonly workers: readonly WorkerView[];
  /** Those by people that are in force. */
  readonly pauses: readonly PauseStatus[];
  readonly waves: readonly WaveStatus[];
  readonly audit: AuditLogStatus;
  /** Those that a worker has begun. */
  readonly webhooks: readonly WebhookStatus[];
}

/** How many clients a schedule rotates now, within 24 hours and within 7 days; each count includes the ones before. */
export interface DueCounts {
  readonly now: number;
  readonly day: number;
  readonly week: number;
}

/** The JSON document of `rekeyd status`. */
export interface Status
  extends Pick<
    FleetView,
    | 'deployments'
    | 'policies'
    | 'workers'
    | 'pauses'
    | 'waves'
    | keyof PutOffRequests
    | 'audit'
    | 'webhooks'
    | 'due'
    | 'counts'
  > {
  /** Those that need a person first; with `--state` and `--limit` not all that are counted. Counts and times are of the clients that are selected. */
  readonly clients: readonly ClientStatus[];
}

export interface DeploymentView extends DeploymentStatus {
  readonly clients: number;
  readonly budget: {
    readonly max: number;
    readonly per_seconds: number;
    /** Part of it that is spent now, 0 to 1. */
    readonly used: number;
  };
  /** How long a wave of all its clients takes at this budget when nothing has to be tried twice, and a compromise of all. Null: it has no clients. */
  readonly rotate_all_seconds: number | null;
  readonly compromise_all_seconds: number | null;
}

export interface PolicyView {
  readonly policy: string;
  readonly clients: number;
  readonly owner: string | null;
  readonly schedule: string;
  readonly timezone: string;
  readonly rotate_every_seconds: number;
  /** The next three. */
  readonly next_ticks: readonly string[];
  /** Those that are not over. `active`: now. */
  readonly freezes: readonly { readonly from: string; readonly until: string; readonly active: boolean }[];
}

export interface WorkerView {
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  /** How far its clock is ahead of Redis's, in s; negative: behind. Null: an older version does not tell. */
  readonly clock_ahead_seconds: number | null;
  /** What keeps it from being ready; null: nothing. */
  readonly problem: string | null;
}

export const CLIENT_ORDERS = ['urgency', 'name', 'age', 'due'] as const;

export type ClientOrder = (typeof CLIENT_ORDERS)[number];

/**
 * What {@link FleetView} counts beside states, and a list can be narrowed to, so that number and list agree. `signers`: it is counted in `signers_missing`.
 * `paused`: by a pause of its own, and not of its app, its policy or all.
 */
export const CLIENT_CONDITIONS = ['compromised', 'drifted', 'signers', 'paused'] as const;

export type ClientCondition = (typeof CLIENT_CONDITIONS)[number];

export interface ClientQuery {
  /** Part of a reference or of a `client_id`, or the whole name of a key. Empty: any. */
  readonly text: string;
  readonly state: ClientState | null;
  /** `deployment/slug` */
  readonly app: string | null;
  readonly policy: string | null;
  readonly condition: ClientCondition | null;
  readonly order: ClientOrder;
  /** `next` of the page before; null: from the first. */
  readonly after: string | null;
  readonly limit: number;
  /** What the caller may see: an app, or a client reference; null: all. */
  readonly only: string | null;
}

export interface ClientList {
  readonly clients: readonly ClientStatus[];
  /** For {@link ClientQuery.after}; null: there are no more. */
  readonly next: string | null;
  /** How many match; null: not known while the fleet is read. */
  readonly matching: number | null;
  /** As in {@link FleetView}. Until the fleet is read, `text` finds whole references and keys only, and the order is by name. */
  readonly reading: FleetView['reading'];
}

export interface ClientView {
  /** With `advice`, and with `exposures` where there were any. */
  readonly status: ClientStatus;
  readonly lifeline: Lifeline;
  /** Rotations, the newest first, one under way included. */
  readonly rotations: readonly RotationView[];
  /** Its newest audit entries, the newest first, as far as they are looked for. */
  readonly entries: readonly AuditEntry[];
  readonly drift: DriftView;
}

export interface RotationView {
  readonly id: string;
  readonly state: RotationState;
  readonly strategy: 'overlap' | 'cutover';
  readonly kid: string | null;
  readonly replaces: string | null;
  readonly rollback: boolean;
  readonly actor: string;
  readonly claimed_by: string | null;
  readonly reason: string;
  readonly started_at: string;
  readonly active_at: string | null;
  readonly ended_at: string | null;
  readonly error: string | null;
}

/** The keys of a client over time; all times in ms since the epoch on the store's clock. */
export interface Lifeline {
  readonly now: number;
  /** From the first thing that it shows until the last one that is planned, or now. */
  readonly from: number;
  readonly until: number;
  /** The key that came first is first. */
  readonly keys: readonly LifelineKey[];
  readonly marks: readonly LifelineMark[];
  /** What comes when all goes well, in order. */
  readonly planned: readonly PlannedStep[];
}

export interface LifelineKey {
  /** Of a foreign key without one: the SHA-256 of its SubjectPublicKeyInfo. Null: a foreign key that our first key has replaced. Its name is not recorded. */
  readonly kid: string | null;
  readonly alg: string | null;
  /** False: a foreign key. */
  readonly ours: boolean;
  readonly spans: readonly LifelineSpan[];
  /** When it goes, as planned; null: it is not planned, or has gone. */
  readonly until: number | null;
}

export interface LifelineSpan {
  /** `published`: a foreign key beside a key of ours that is active. The server accepts it, and rekeyd does not know who signs with it. */
  readonly state: 'pre-active' | 'active' | 'published' | 'deactivated' | 'compromised';
  readonly from: number;
  /** Null: it still is. */
  readonly to: number | null;
}

export interface LifelineMark {
  readonly at: number;
  readonly what: 'patched' | 'accepted' | 'refused';
  /** The key that was proven; null for a PATCH. */
  readonly kid: string | null;
}

export interface PlannedStep {
  readonly at: number;
  /** In words, such as `the new key becomes active`. */
  readonly what: string;
  readonly kid: string | null;
}
