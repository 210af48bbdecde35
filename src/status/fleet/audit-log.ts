/** How large the audit log is, and how far each of its exports. */
import { FILE_EVERY_MS } from '../../audit/exporting.ts';
import type { Resources } from '../../rotation/resources.ts';

/** Members as in the JSON document of `rekeyd status`. */
export interface AuditLogStatus {
  /** Numbers of the oldest and the newest entry in Redis. */
  readonly first: number;
  readonly last: number;
  /** What they take of Redis, and what they may take before more is cut. */
  readonly bytes: number;
  readonly most_bytes: number;
  /** Empty: nothing is exported, and nothing is cut. */
  readonly exports: readonly AuditExportStatus[];
}

export interface AuditExportStatus {
  readonly export: string;
  /** The number of the last entry that it has. */
  readonly last: number;
  /** For how long the next entry should have been there; 0 when none should. */
  readonly behind_seconds: number;
  /** Why it does not go on, and since when; null when it does. */
  readonly error: string | null;
  readonly failing_since: string | null;
}

/** A file of a folder is filled for a while before it is written. */
const FOLDER_MS = FILE_EVERY_MS;

export async function auditLogStatus({
  store,
  config: { audit },
}: Pick<Resources, 'store' | 'config'>): Promise<AuditLogStatus> {
  const [{ first, last, bytes }, sealed, known, now] = await Promise.all([
    store.logExtent(),
    store.sealedSize(),
    store.exportProgress(),
    store.now(),
  ]);
  const exports = audit.exports.map(async ({ kind, name, id }): Promise<AuditExportStatus> => {
    const { seq, failing } = known.get(id) ?? { seq: first - 1, failing: null };
    const [next] = seq < sealed.checkpointSeq ? await store.auditAfter(seq, 1) : [];
    const since = next === undefined ? now : Date.parse(next.time) + (kind === 'folder' ? FOLDER_MS : 0);
    return {
      export: name,
      last: seq,
      behind_seconds: Math.round(Math.max(0, now - since) / 1000),
      error: failing?.why ?? null,
      failing_since: failing === null ? null : new Date(failing.since).toISOString(),
    };
  });
  return { first, last, bytes, most_bytes: audit.mostBytes, exports: await Promise.all(exports) };
}
