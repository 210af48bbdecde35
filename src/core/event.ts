/** Audit entries as others are told of them: a small payload that does not change its shape, and a line for people. */
import type { AuditData, AuditEntry, AuditType } from './audit.ts';

export type Severity = 'info' | 'warning' | 'error' | 'critical';

/** A new audit type does not compile without its line. */
const EVENTS: Readonly<Record<AuditType, readonly [Severity, string]>> = {
  'rotation.requested': ['info', 'A rotation was requested'],
  'rotation.refused': ['warning', 'A request for a rotation was refused'],
  'rotation.approved': ['info', 'A second person approved a request'],
  'rotation.started': ['info', 'A rotation has started'],
  'rotation.completed': ['info', 'A rotation is finished: the old key is gone'],
  'rotation.failed': ['error', 'A rotation failed'],
  'rotation.rolled_back': ['error', 'A rotation was rolled back: the previous key is in use again'],
  'rotation.abandoned': ['warning', 'A rotation was abandoned'],
  'rotation.delayed': ['warning', 'Signers still sign with the old key: both keys stay'],
  'key.generated': ['info', 'A key was generated'],
  'key.stored': ['info', 'A private key was stored, encrypted'],
  'key.delivered': ['info', 'A key was delivered to the signers'],
  'key.publishing': ['info', 'A public key is about to be published'],
  'key.published': ['info', 'A public key was published'],
  'key.publish_failed': ['warning', 'A public key could not be published: it is tried again, or the rotation ends'],
  'key.proven': ['info', 'A key was proven'],
  'key.activated': ['info', 'A new key is in use'],
  'key.deactivated': ['info', 'A key is no longer in use'],
  'key.destroyed': ['info', 'A private key was destroyed'],
  'key.compromised': ['critical', 'A key was reported as compromised'],
  'key.imported': ['info', 'A private key was imported'],
  'key.import_refused': ['warning', 'A private key was not imported: nobody was seen to sign in with it'],
  'keys.rewrapped': ['info', 'What is stored is encrypted under another KEK'],
  'client.found': ['info', 'A client was found: its active key is not ours'],
  'client.offered': ['info', 'A key of ours is offered to the application of a client'],
  'client.held': ['info', 'A client is held: its application was not seen to take its key from us'],
  'client.enrolled': ['info', 'A client is enrolled: it is rotated on schedule'],
  'client.released': ['info', 'A client was released: rekeyd no longer manages it'],
  'client.drifted': ['warning', 'What the server shows of a client has changed, and not by rekeyd'],
  'drift.accepted': ['info', 'A person accepted what the server shows of a client'],
  'drift.repairing': ['info', 'A person has our keys of a client published again'],
  'client.halted': ['critical', 'A client is halted until a person looks'],
  'schedule.paused': ['info', 'Scheduled rotations were paused'],
  'schedule.resumed': ['info', 'Scheduled rotations were resumed'],
  'deployment.paused': ['critical', 'A deployment is paused: its API refuses our key'],
  'deployment.resumed': ['info', 'A deployment goes on: its API takes our key'],
  'deployment.throttled': ['warning', 'An API asks to be left alone'],
  'policy.stopped': ['error', 'A wave was stopped'],
  'policy.resumed': ['info', 'A wave goes on'],
  'app.probed': ['info', 'An app was probed'],
  'app.probe_failed': ['warning', 'A probe of an app failed'],
  'app.strategy': ['info', 'An app has another strategy'],
  'config.reloaded': ['info', 'The config was reloaded'],
  'config.refused': ['error', 'A config cannot be used: the one from before goes on'],
  'api.called': ['info', 'A call over HTTP changed something'],
  'api.refused': ['warning', 'Calls over HTTP were turned away'],
  'token.created': ['info', 'A token was created'],
  'token.revoked': ['info', 'A token was revoked'],
  'session.started': ['info', 'Somebody signed in on the page'],
  'session.ended': ['info', 'Somebody signed out on the page'],
  'webhook.stopped': ['warning', 'A webhook was stopped: its receiver wants nothing more'],
  'webhook.retried': ['info', 'A person had a webhook tried again'],
  'webhook.discarded': ['warning', 'A person discarded events that a webhook could not deliver'],
  'store.segment': ['critical', 'A store was declared lost or rolled back: the audit log has a new segment'],
  'audit.sealed': ['info', 'The audit log was sealed'],
  'audit.key_created': ['info', 'The audit log has a signing key'],
  'audit.key_rotated': ['warning', 'The audit log has another signing key'],
};

export const AUDIT_TYPES: readonly string[] = Object.keys(EVENTS);

/** The members that each event has. Null: there is none. */
interface Fixed {
  readonly seq: number;
  readonly client: string | null;
  readonly rotation: string | null;
  readonly actor: string;
  readonly claimed_by: string | null;
  readonly reason: string;
  /** Of the client, as the policy names it. */
  readonly owner: string | null;
}

/** As Standard Webhooks proposes it. Part of the contract: docs/webhooks.md. */
export interface RekeydEvent {
  readonly type: AuditType;
  readonly timestamp: string;
  /** What the entry says beside that is in members of its own. A fixed member goes before one of the same name. */
  readonly data: Fixed & AuditData;
}

/** The same for each try: it is a function of the entry. */
export function eventOf(entry: AuditEntry, owner: string | null): RekeydEvent {
  const { seq, time, type, client, rotation, actor, claimed_by = null, reason, data } = entry;
  return { type, timestamp: time, data: { ...data, seq, client, rotation, actor, claimed_by, reason, owner } };
}

export function severityOf({ type }: Pick<RekeydEvent, 'type'>): Severity {
  return toldOf(type)[0];
}

/** During an upgrade, a worker meets entries of a version that is newer than its own. */
function toldOf(type: AuditType): readonly [Severity, string] {
  return Object.hasOwn(EVENTS, type) ? EVENTS[type] : ['info', type];
}

/** One line for people, such as `A rotation failed: 185/mcp-auth/4711, owned by team-payments. Reason: … (by cli:jane)`. */
export function lineOf({ type, data: { client, owner, reason, actor } }: RekeydEvent): string {
  const about = client === null ? '' : `: ${client}${owner === null ? '' : `, owned by ${owner}`}`;
  return `${toldOf(type)[1]}${about}. Reason: ${reason} (by ${actor})`;
}
