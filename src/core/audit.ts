/** Audit entries as the core drafts them. The store numbers and times them in the script that changes the record. */
import type { ClientRef } from './client.ts';

export type AuditType =
  | 'rotation.requested'
  | 'rotation.refused'
  | 'rotation.approved'
  | 'rotation.started'
  | 'rotation.completed'
  | 'rotation.failed'
  | 'rotation.rolled_back'
  | 'rotation.abandoned'
  | 'rotation.delayed'
  | 'key.generated'
  | 'key.stored'
  | 'key.delivered'
  | 'key.publishing'
  | 'key.published'
  | 'key.publish_failed'
  | 'key.proven'
  | 'key.activated'
  | 'key.deactivated'
  | 'key.destroyed'
  | 'key.compromised'
  | 'key.imported'
  | 'key.import_refused'
  | 'keys.rewrapped'
  | 'client.found'
  | 'client.offered'
  | 'client.held'
  | 'client.enrolled'
  | 'client.released'
  | 'client.drifted'
  | 'client.halted'
  | 'drift.accepted'
  | 'drift.repairing'
  | 'schedule.paused'
  | 'schedule.resumed'
  | 'deployment.paused'
  | 'deployment.resumed'
  | 'deployment.throttled'
  | 'policy.stopped'
  | 'policy.resumed'
  | 'app.probed'
  | 'app.probe_failed'
  | 'app.strategy'
  | 'config.reloaded'
  | 'config.refused'
  | 'api.called'
  | 'api.refused'
  | 'token.created'
  | 'token.revoked'
  | 'session.started'
  | 'session.ended'
  | 'webhook.stopped'
  | 'webhook.retried'
  | 'webhook.discarded'
  | 'store.segment'
  | 'audit.sealed'
  | 'audit.key_created'
  | 'audit.key_rotated';

/** Never key material: kids, states, outcomes, API statuses, durations in ms. */
export type AuditData = { readonly [name: string]: string | number | boolean | null | readonly string[] };

export interface AuditDraft {
  readonly type: AuditType;
  readonly client: ClientRef | null;
  readonly rotation: string | null;
  /** What the caller says. */
  readonly actor: string;
  /** Who was authenticated: a token, a certificate, a user of the operating system. Absent: nobody was. */
  readonly claimed_by?: string;
  readonly reason: string;
  readonly data: AuditData;
}

/** Who caused an entry. */
export type Who = Pick<AuditDraft, 'actor' | 'claimed_by'>;

/** Of an object with more members, only these two. */
export function whoOf({ actor, claimed_by }: Who): Who {
  return { actor, ...(claimed_by !== undefined && { claimed_by }) };
}

/** An entry as it stands in the log; `prev` and `hash` come with the seal and are absent until then. */
export interface AuditEntry extends AuditDraft {
  readonly seq: number;
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
  readonly prev?: string;
  readonly hash?: string;
}
