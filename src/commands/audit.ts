import { exportAudit } from '../audit/export.ts';
import type { AuditEntry } from '../core/audit.ts';
import type { Store } from '../store/store.ts';
import { sleep } from '../time.ts';
import { awaitInterruption, type Globals, withResources } from './open.ts';
import { note, print, printJson } from './output.ts';
import { usage } from './select.ts';

export interface TailOptions {
  readonly lines: number;
  readonly follow?: boolean;
  readonly json?: boolean;
}

const POLL_MS = 500;
const PAGE = 1_000;

export async function auditTail(globals: Globals, { lines, follow, json }: TailOptions): Promise<number> {
  if (follow && json) throw usage('--json prints one document and --follow has no end: take one of them.');
  return withResources(globals, async ({ store }) => {
    const entries = lines === 0 ? [] : await store.auditTail(lines);
    if (json) printJson(entries);
    else for (const entry of entries) print(readable(entry));
    if (follow) await followLog(globals, store, entries.at(-1)?.seq ?? (await store.auditSize()));
    return 0;
  });
}

async function followLog(globals: Globals, store: Pick<Store, 'auditAfter'>, from: number): Promise<void> {
  const { signal, release } = awaitInterruption(globals);
  try {
    for (let last = from; !signal.aborted; await sleep(POLL_MS, signal)) {
      for (const entry of await store.auditAfter(last, PAGE)) {
        print(readable(entry));
        last = entry.seq;
      }
    }
  } finally {
    release();
  }
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
  const exported = await withResources(globals, ({ store }) => exportAudit(store, dir, from));
  const { entries, last, files, broken } = exported;
  if (json) printJson({ entries, last, files, broken });
  else if (entries === 0) print(`Nothing new: ${dir} holds all entries up to number ${last}.`);
  else print(`${entries} ${entries === 1 ? 'entry' : 'entries'} up to number ${last} written to ${files.join(', ')}`);
  if (broken === null) return 0;
  note(
    `Entries before checkpoint ${broken} are not those that it sealed: somebody changed them in Redis. They are exported as they are now; \`rekeyd audit verify ${dir}\` says where.`,
  );
  return 1;
}
