/**
 * The hash chain over the audit log: the hash of an entry is SHA-256 over its canonical JSON (RFC 8785), without `hash` and with `prev`, the hash of the entry
 * before it. So a hash stands for all entries up to its own. Written out in docs/audit.md, and checked by {@link ./verify.ts}, which shares no code with this.
 */
import { hash as digest } from 'node:crypto';
import type { AuditEntry } from '../core/audit.ts';
import { RekeydError } from '../errors.ts';

/** An entry and its hash. Entry 0 comes before all. */
export interface Link {
  readonly seq: number;
  /** 64 hexadecimal digits. */
  readonly hash: string;
}

/** `prev` of an entry that begins a chain. */
export const NO_HASH = '0'.repeat(64);

export const BEFORE_ALL: Link = { seq: 0, hash: NO_HASH };

export interface Linked extends Link {
  readonly entry: AuditEntry;
  readonly prev: string;
}

/** Where entries come from: the store. */
export interface EntrySource {
  auditAfter(seq: number, limit: number): Promise<readonly AuditEntry[]>;
}

const PAGE = 1_000;

/**
 * The entries after `from` up to number `end`, page by page, each linked to the one before.
 * @throws RekeydError `seal_broken` when a number is missing
 */
export async function* chain(source: EntrySource, from: Link, end: number): AsyncGenerator<readonly Linked[]> {
  let last = from;
  while (last.seq < end) {
    const page: Linked[] = [];
    for (const entry of await source.auditAfter(last.seq, Math.min(PAGE, end - last.seq))) {
      if (entry.seq !== last.seq + 1) break;
      const prev = restarts(entry) ? NO_HASH : last.hash;
      last = { seq: entry.seq, hash: hashOf(entry, prev) };
      page.push({ ...last, entry, prev });
    }
    if (page.length === 0) throw sealBroken(`entry ${last.seq + 1} of the audit log is gone`);
    yield page;
  }
}

/** The entry of a segment that goes on from nothing, because what was sealed before it does not fit the log any more. */
export function restarts({ type, data }: AuditEntry): boolean {
  return type === 'store.segment' && data.restart === true;
}

export function hashOf(entry: AuditEntry, prev: string): string {
  return digest('sha256', canonical({ ...entry, prev }));
}

/** A line of an export: canonical JSON with `prev` and `hash`. */
export function lineOf({ entry, prev, hash }: Linked): string {
  return canonical({ ...entry, prev, hash });
}

/** RFC 8785. Half of a surrogate pair, which that does not allow, becomes U+FFFD. */
function canonical(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.toWellFormed());
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  let members = '';
  const named: Readonly<Record<string, unknown>> = { ...value };
  for (const name of Object.keys(named).sort()) {
    const member = named[name];
    if (member !== undefined) members += `${members === '' ? '' : ','}${canonical(name)}:${canonical(member)}`;
  }
  return `{${members}}`;
}

/** @param why a clause that follows "because" */
export function sealBroken(why: string): RekeydError {
  return new RekeydError(
    'seal_broken',
    `The audit log cannot be sealed on, because ${why}. Somebody changed the store behind rekeyd's back, or it was restored in part. Rotations go on. Keep a copy of Redis, find out what happened, then run \`rekeyd audit new-segment --reason TEXT\`.`,
  );
}
