/**
 * The audit log as files: JSON Lines, `audit-<number of the first entry>.jsonl`, oldest first. A file is complete from the moment that it has its
 * name, and never changes after.
 */
import { randomUUID } from 'node:crypto';
import { link, open, readdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { AuditEntry } from '../core/audit.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { ensureFolder } from '../files/folder.ts';

/** Where entries come from: the store. */
export interface AuditSource {
  auditAfter(seq: number, limit: number): Promise<readonly AuditEntry[]>;
  auditSize(): Promise<number>;
}

export interface Exported {
  /** Entries written now; 0 when all of them were there. */
  readonly entries: number;
  /** The number of the last entry in the folder. */
  readonly last: number;
  /** Paths of the files written now. */
  readonly files: readonly string[];
}

const ENTRIES_PER_FILE = 10_000;

/** Wide enough that names sort as their numbers do. */
const DIGITS = 12;
const FILE = /^audit-(\d+)\.jsonl$/;

/**
 * Writes the entries that `dir` does not hold yet. Two exports at once write each entry once: the slower one fails.
 * @throws RekeydError `export_failed` (not writable, or holds a damaged file), `usage` (holds the log of another store)
 */
export async function exportAudit(source: AuditSource, dir: string): Promise<Exported> {
  const folder = resolve(dir);
  const files: string[] = [];
  const before = await writing(folder, () => lastExported(folder));
  const size = await source.auditSize();
  if (before > size) {
    throw new RekeydError(
      'usage',
      `${folder} holds entries up to number ${before}, and this store's log ends at ${size}: they are another store's. Export to another folder.`,
    );
  }
  let last = before;
  for (;;) {
    const entries = await source.auditAfter(last, ENTRIES_PER_FILE);
    const newest = entries.at(-1);
    if (newest === undefined) return { entries: last - before, last, files };
    const path = join(folder, `audit-${String(last + 1).padStart(DIGITS, '0')}.jsonl`);
    await writing(folder, () => writeFile(folder, path, entries.map((entry) => `${auditLine(entry)}\n`).join('')));
    files.push(path);
    last = newest.seq;
  }
}

/** An entry as one line of JSON, members in the order of the contract. */
function auditLine(entry: AuditEntry): string {
  const { seq, time, type, client, rotation, actor, claimed_by, reason, data, prev, hash } = entry;
  return JSON.stringify({ seq, time, type, client, rotation, actor, claimed_by, reason, data, prev, hash });
}

async function lastExported(folder: string): Promise<number> {
  await ensureFolder(folder, 0o777);
  const names = (await readdir(folder)).filter((name) => FILE.test(name));
  const newest = names.sort((a, b) => firstOf(a) - firstOf(b)).at(-1);
  if (newest === undefined) return 0;
  const line = (await readFile(join(folder, newest), 'utf8')).trimEnd().split('\n').at(-1) ?? '';
  const { seq }: { seq?: unknown } = JSON.parse(line);
  if (typeof seq !== 'number' || seq < firstOf(newest)) throw new Error(`${newest} does not end with an audit entry`);
  return seq;
}

function firstOf(name: string): number {
  return Number(FILE.exec(name)?.[1]);
}

/** A link, and not a rename, so that a file which another export has just written is not replaced. */
async function writeFile(folder: string, path: string, text: string): Promise<void> {
  const draft = join(folder, `.${randomUUID()}`);
  try {
    await sync(draft, 'wx', text);
    await link(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
  await sync(folder, 'r');
}

async function sync(path: string, flags: string, text?: string): Promise<void> {
  const file = await open(path, flags);
  try {
    if (text !== undefined) await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writing<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new RekeydError(
      'export_failed',
      `The audit log cannot be exported to ${folder}: ${messageOf(error)}. Files with other names are as they were. Mend that, or export to another folder.`,
      { cause: error },
    );
  }
}
