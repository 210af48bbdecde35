/** A change of the core as the store commits it: record, audit entries, keys and indexes in one script. */
import type { AuditDraft } from './core/audit.ts';
import type { Change } from './core/change.ts';
import type { ClientRef } from './core/client.ts';
import { dueAt } from './core/due.ts';
import type { ClientPolicy } from './core/policy.ts';
import type { ClientRecord } from './core/record.ts';

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
  readonly open: boolean;
  /** Resolve only when the commit, and all it rests on, is on disk. */
  readonly durable: boolean;
}

/** True while something of this client is still to be done without anybody asking. */
function isOpen(record: ClientRecord): boolean {
  if (record.halted !== null) return false;
  return (
    record.rotation !== null || record.retiring.length > 0 || record.inFlight !== null || record.delivered === null
  );
}

export function commitOf(
  change: Change & Pick<Commit, 'seal' | 'erase'>,
  policy: ClientPolicy,
  { expected, durable }: Pick<Commit, 'expected' | 'durable'>,
): Commit {
  const { record, entries, seal = [], erase = [] } = change;
  return {
    ref: record.ref,
    expected,
    record,
    entries,
    seal,
    erase,
    dueAt: dueAt(record, policy),
    open: isOpen(record),
    durable,
  };
}
