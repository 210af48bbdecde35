/**
 * The audit log as files: JSON Lines, `audit-<number of the first entry>.jsonl`, oldest first, each line with its place in the hash chain; and the public keys
 * that signed checkpoints, `audit-key-<kid>.pem`. A file is complete from the moment that it has its name, and never changes after.
 */
import { randomUUID } from 'node:crypto';
import { link, open, readdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { members } from '../core/reply.ts';
import { hasCode, messageOf, RekeydError } from '../errors.ts';
import { codeOf } from '../files/durable.ts';
import { ensureFolder } from '../files/folder.ts';
import { chain, type EntrySource, type Link, type Linked, lineOf, NO_HASH } from './chain.ts';
import { publicKeyOf } from './checkpoint.ts';
import { MOST_BETWEEN } from './seal.ts';
import { statedBefore } from './stated.ts';

/** Where entries come from: the store. */
export interface AuditSource extends EntrySource {
  /** Entries up to this one are on disk. */
  settledSize(): Promise<number>;
  sealPublicKeys(): Promise<ReadonlyMap<string, string>>;
}

export interface Exported {
  /** Entries written now; 0 when all of them were there. */
  readonly entries: number;
  /** The number of the last entry in the folder. */
  readonly last: number;
  /** Of a folder that was empty: the number of its first entry. Null: it was not. */
  readonly begins: number | null;
  /** Paths of the files written now. */
  readonly files: readonly string[];
  /** The first checkpoint written now that is about other entries than those in the store; null when all are about these. */
  readonly broken: number | null;
}

export interface Range {
  /** The first entry to be written to an empty folder; absent: the first that there is. */
  readonly from?: number | undefined;
  /** The last entry to be written; absent: the last that is on disk. */
  readonly upTo?: number;
}

const ENTRIES_PER_FILE = 10_000;

/** Wide enough that names sort as their numbers do. */
const DIGITS = 12;
const KID = /^[\w-]{43}$/;
const FILE = /^audit-(\d+)\.jsonl$/;

/**
 * Writes the entries that `dir` does not hold yet. Two exports at once write each entry once: the slower one fails.
 * @throws RekeydError `export_failed` (not writable, or holds a damaged file), `usage` (holds another log), `seal_broken` (entries are gone)
 */
export async function exportAudit(source: AuditSource, dir: string, range: Range = {}): Promise<Exported> {
  const firstSeq = async () => (await source.auditAfter(0, 1))[0]?.seq;
  for (;;) {
    const first = await firstSeq();
    try {
      return await exportOnce(source, dir, range);
    } catch (error) {
      // Entries that a worker cut meanwhile are not missing: begin again with those that are left.
      if (!hasCode(error, 'seal_broken') || (await firstSeq()) === first) throw error;
    }
  }
}

async function exportOnce(source: AuditSource, dir: string, { from, upTo }: Range): Promise<Exported> {
  const folder = resolve(dir);
  const known = await writing(folder, () => lastExported(folder));
  const size = await source.settledSize();
  const [first] = await source.auditAfter(0, 1);
  const before = known?.seq ?? (from ?? first?.seq ?? 1) - 1;
  expectToFit(folder, known, { size, first: first?.seq ?? 1 });
  await writing(folder, async () => writeKeys(folder, await source.sealPublicKeys()));
  const files: string[] = [];
  const checks = openChecks();
  let lines: string[] = [];
  let last = before;
  const flush = async () => {
    const path = join(folder, `audit-${String(last - lines.length + 1).padStart(DIGITS, '0')}.jsonl`);
    await writing(folder, () => writeFile(folder, path, lines.join('')));
    files.push(path);
    lines = [];
  };
  // Begin before the last entry in the folder, so that the chain says its hash. If that entry was cut, a checkpoint states it.
  const isCut = known !== null && known.seq < (first?.seq ?? 1);
  const start = await statedBefore(source, known === null || isCut ? before : before - 1);
  if (isCut && start.seq === known.seq && start.hash !== NO_HASH) expectSame(folder, known, start);
  for await (const page of chain(source, start, Math.min(size, upTo ?? size))) {
    for (const linked of page) {
      checks.see(linked);
      if (linked.seq === known?.seq) expectSame(folder, known, linked);
      if (linked.seq <= before) continue;
      lines.push(`${lineOf(linked)}\n`);
      last = linked.seq;
      if (lines.length === ENTRIES_PER_FILE) await flush();
    }
  }
  if (lines.length > 0) await flush();
  return { entries: last - before, last, begins: known === null ? before + 1 : null, files, broken: checks.broken };
}

/** Compares checkpoints with the chain as it comes out of the entries. */
export function openChecks() {
  const recent: string[] = [];
  const checks = {
    broken: null as number | null,
    see({ seq, hash, entry }: Linked): void {
      if (entry.type === 'audit.sealed') {
        const covered = recent[Number(entry.data.seq) % MOST_BETWEEN];
        if (covered !== undefined && covered !== `${entry.data.seq} ${entry.data.hash}`) checks.broken ??= seq;
      }
      recent[seq % MOST_BETWEEN] = `${seq} ${hash}`;
    },
  };
  return checks;
}

type Known = Link | { readonly seq: number; readonly hash: null };

function expectToFit(folder: string, known: Known | null, { size, first }: { size: number; first: number }): void {
  if (known === null) return;
  if (known.seq > size) {
    throw new RekeydError(
      'usage',
      `${folder} holds entries up to number ${known.seq}, and this store's log ends at ${size}: they are another store's. Export to another folder.`,
    );
  }
  if (known.seq + 1 >= first) return;
  throw new RekeydError(
    'usage',
    `${folder} ends with entry ${known.seq}, and the log begins with ${first}: what was between was exported elsewhere and then cut (audit.export). Export to another folder.`,
  );
}

function expectSame(folder: string, { seq, hash }: Known, linked: Link): void {
  if (hash === linked.hash) return;
  const why =
    hash === null
      ? 'was exported by an earlier version, without its hash'
      : 'is not the entry of that number in the store: the folder holds another log, or the log was changed';
  throw new RekeydError('usage', `Entry ${seq} in ${folder} ${why}. Export to another folder.`);
}

async function lastExported(folder: string): Promise<Known | null> {
  await ensureFolder(folder, 0o777);
  const newest = exportFiles(await readdir(folder)).at(-1);
  if (newest === undefined) return null;
  const line = (await readFile(join(folder, newest), 'utf8')).trimEnd().split('\n').at(-1) ?? '';
  const { seq, hash } = members(JSON.parse(line));
  if (typeof seq !== 'number' || seq < firstOf(newest)) throw new Error(`${newest} does not end with an audit entry`);
  return { seq, hash: typeof hash === 'string' ? hash : null };
}

/** Those of these names that an export gives to its files, by the number of their first entry. */
export function exportFiles(names: readonly string[]): readonly string[] {
  return names.filter((name) => FILE.test(name)).sort((a, b) => firstOf(a) - firstOf(b));
}

function firstOf(name: string): number {
  return Number(FILE.exec(name)?.[1]);
}

async function writeKeys(folder: string, keys: ReadonlyMap<string, string>): Promise<void> {
  const known = await readdir(folder);
  for (const [kid, x] of keys) {
    const name = `audit-key-${kid}.pem`;
    // The store is not trusted with paths.
    if (known.includes(name) || !KID.test(kid)) continue;
    const pem = publicKeyOf(x).export({ type: 'spki', format: 'pem' });
    await writeFile(folder, join(folder, name), pem.toString()).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
  }
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
