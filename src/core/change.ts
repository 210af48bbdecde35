/** What a transition gives back: the next record and the audit entries that must be committed with it. */
import type { AuditData, AuditDraft, AuditType } from './audit.ts';
import { isKey } from './keys.ts';
import { backoffMs, type Context } from './policy.ts';
import type { Cause, ClientRecord, Rotation, RotationSummary } from './record.ts';

export interface Change {
  readonly record: ClientRecord;
  readonly entries: readonly AuditDraft[];
}

/** Who acts when no rotation is under way: the worker itself. */
const UPKEEP: Cause = { actor: 'rekeyd', reason: 'upkeep', request: null };

/** How many ended rotations, and how many destroyed keys, a record remembers. */
const HISTORY = 10;
const TOMBSTONES = 10;

/** An entry about this client. `rotation` absent: the one under way, else the latest whose old key is still on its way out. */
export function entry(record: ClientRecord, type: AuditType, data: AuditData, rotation?: string): AuditDraft {
  const id = rotation ?? record.rotation?.id ?? record.retiring.at(-1)?.rotation ?? null;
  const cause: Cause = record.history.find((summary) => summary.id === id) ?? UPKEEP;
  const asked = cause.request === null ? {} : { request: cause.request };
  return {
    type,
    client: record.ref,
    rotation: id,
    actor: cause.actor,
    reason: cause.reason,
    data: { ...asked, ...data },
  };
}

/** In the words of whoever asked for this, and not of the rotation that it is a part of. */
export function asAsked({ actor, reason, request }: Cause, draft: AuditDraft): AuditDraft {
  return { ...draft, actor, reason, data: request === null ? draft.data : { ...draft.data, request } };
}

/** Changes what the history tells of one rotation. */
export function summarize(record: ClientRecord, id: string, change: Partial<RotationSummary>): ClientRecord {
  return {
    ...record,
    history: record.history
      .map((summary) => (summary.id === id ? { ...summary, ...change } : summary))
      .slice(0, HISTORY),
  };
}

/** After a step that went well: nothing to be sorry about. */
export function relieved(record: ClientRecord): ClientRecord {
  return { ...record, attempts: 0, notBefore: 0, lastError: null };
}

/** The step of a rotation that went well leads to that phase. */
export function advance(record: ClientRecord, rotation: Rotation, phase: Rotation['phase']): ClientRecord {
  return { ...relieved(record), rotation: { ...rotation, phase } as Rotation }; // each caller hands a phase of this rotation's own strategy
}

/** After a step that did not: one more attempt counted, the next one put off. */
export function putOff(record: ClientRecord, context: Context, why: string): ClientRecord {
  const attempts = record.attempts + 1;
  return { ...record, attempts, notBefore: context.now + backoffMs(attempts, context), lastError: why };
}

/** A server that says when to come back is not asked before, and that costs no attempt. */
export function leftAlone(record: ClientRecord, forMs: number, why: string, { now }: Context): Change {
  return { record: { ...record, notBefore: now + forMs, lastError: why }, entries: [] };
}

/**
 * Forgets the oldest destroyed keys, but for those that the server still shows: a set that stands beside a `jwks_uri` cannot be cleared, and a key in
 * it that nobody remembers would be taken for somebody else's, and served again.
 */
export function prune(record: ClientRecord): ClientRecord {
  const tombstones = record.keys.filter((key) => key.state === 'destroyed');
  const oldest = tombstones.slice(0, Math.max(0, tombstones.length - TOMBSTONES));
  const forgotten = new Set(oldest.filter((key) => !record.observed.client.keys.some((shown) => isKey(key, shown))));
  return forgotten.size === 0 ? record : { ...record, keys: record.keys.filter((key) => !forgotten.has(key)) };
}
