import { exportAudit } from '../audit/export.ts';
import type { AuditEntry } from '../core/audit.ts';
import type { Store } from '../store/store.ts';
import { followLog, tellCut } from './audit-follow.ts';
import { type Globals, withResources } from './open.ts';
import { note, print, printJson } from './output.ts';
import { usage } from './select.ts';

export interface TailOptions {
  readonly lines: number;
  /** Only entries after this number, the oldest first. */
  readonly after?: number;
  readonly follow?: boolean;
  readonly json?: boolean;
}

export async function auditTail(globals: Globals, options: TailOptions): Promise<number> {
  const { lines, after, follow, json } = options;
  return withResources(globals, async ({ store }) => {
    if (after !== undefined) await expectPast(store, after);
    if (follow) {
      const show = json ? JSON.stringify : readable;
      await followLog(globals, store, after ?? Math.max(0, (await store.settledSize()) - lines), show);
      return 0;
    }
    const entries = await entriesFor(store, lines, after);
    if (json) printJson(entries);
    else for (const entry of entries) print(readable(entry));
    if (lines > 0 && after === undefined && entries.length === 0) note('The audit log has no entries yet.');
    tellCut(after, entries[0]);
    return 0;
  });
}

async function entriesFor(store: Store, lines: number, after: number | undefined): Promise<readonly AuditEntry[]> {
  if (lines === 0) return [];
  return after === undefined ? store.auditTail(lines) : store.settledAfter(after, lines);
}

/** @throws RekeydError `usage` for a number that the log has not come to: everything up to there would be left out */
async function expectPast(store: Pick<Store, 'auditSize'>, after: number): Promise<void> {
  const size = await store.auditSize();
  if (after <= size) return;
  throw usage(
    `--after ${after}: this log ends at number ${size}. You read another store, or this one was rolled back. Begin with --after 0.`,
  );
}

function readable({ seq, time, type, client, rotation, actor, claimed_by: by, reason, data }: AuditEntry): string {
  return [
    seq,
    time,
    type.padEnd(20),
    client ?? '-',
    rotation ?? '-',
    by === undefined ? actor : `${actor} (${by})`,
    JSON.stringify(reason),
    JSON.stringify(data),
  ].join('  ');
}

export async function auditExport(
  globals: Globals,
  dir: string,
  { from, json }: { readonly from?: number; readonly json?: boolean },
): Promise<number> {
  const exported = await withResources(globals, ({ store }) => exportAudit(store, dir, { from }));
  const { entries, last, begins, files, broken } = exported;
  if (json) printJson({ entries, last, files, broken });
  else if (entries === 0) print(`Nothing new: ${dir} holds all entries up to number ${last}.`);
  else print(`${entries} ${entries === 1 ? 'entry' : 'entries'} up to number ${last} written to ${files.join(', ')}`);
  if (from === undefined && begins !== null && begins > 1) {
    note(`It begins with entry ${begins}: those before were cut (audit.keep, audit.most). Earlier exports have them.`);
  }
  if (broken === null) return 0;
  note(
    `Entries before checkpoint ${broken} are not those that it sealed: somebody changed them in Redis. They are exported as they are now; \`rekeyd audit verify ${dir}\` says where.`,
  );
  return 1;
}
