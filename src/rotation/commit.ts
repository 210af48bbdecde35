/** A change of the core as the store commits it: record, audit entries, keys and indexes in one script. */
import type { AuditDraft } from '../core/audit.ts';
import type { Change } from '../core/change.ts';
import type { ClientRef } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { dueAt, isEligible } from '../core/due.ts';
import { publicationPurpose } from '../core/plan.ts';
import type { ClientPolicy } from '../core/policy.ts';
import type { ClientRecord } from '../core/record.ts';

export interface Commit {
  readonly ref: ClientRef;
  /** What the record must still be; null: the client must not be known yet. */
  readonly expected: { readonly version: number; readonly epoch: number } | null;
  readonly record: ClientRecord;
  readonly entries: readonly AuditDraft[];
  /** Sealed private halves, by thumbprint. */
  readonly seal?: readonly { readonly kid: string; readonly jwe: string }[];
  readonly erase?: readonly string[];
  readonly dueAt: number | null;
  /** {@link seenMark} of what was observed. */
  readonly seen: string;
  readonly open: boolean;
  /** Resolve only when the commit, and all it rests on, is on disk. */
  readonly durable: boolean;
}

/** True while something of this client is still to be done without anybody asking. */
function isOpen(record: ClientRecord, policy: ClientPolicy): boolean {
  const { halted, rotation, retiring, inFlight, delivered } = record;
  if (halted !== null) return false;
  if (rotation !== null || retiring.length > 0 || inFlight !== null || delivered === null) return true;
  // What is published, or served, is to be put right: the job that was to do that may have been lost before it was added.
  return publicationPurpose(record, policy) !== null;
}

/**
 * What is compared to find out whether a client changed since the record was committed, instead of loading the record: the server moves
 * `updated_at` with every change. A client that is gone, or not active, is marked as such, so that its return is a change.
 */
export function seenMark({ active, updatedAt }: Pick<ObservedClient, 'active' | 'updatedAt'>): string {
  return active ? updatedAt : `-${updatedAt}`;
}

export function isMarkedActive(mark: string | null): boolean {
  return mark !== null && !mark.startsWith('-');
}

export function commitOf(
  change: Change & Pick<Commit, 'seal' | 'erase'>,
  policy: ClientPolicy,
  { expected, durable }: Pick<Commit, 'expected' | 'durable'>,
): Commit {
  const { record, entries, seal = [], erase = [] } = change;
  const { client } = record.observed;
  return {
    ref: record.ref,
    expected,
    record,
    entries,
    seal,
    erase,
    dueAt: isEligible(client) ? dueAt(record, policy) : null,
    seen: seenMark(client),
    open: isOpen(record, policy),
    durable,
  };
}
