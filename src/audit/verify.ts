/**
 * Verifies exported audit logs, offline. This file imports Node's own modules alone and shares no code with the sealer, so an auditor can read all of it.
 * docs/audit.md says what is sealed and how. In short:
 *
 * - A line is an entry. Its `hash` is SHA-256 over the line without the member `hash`. Its `prev` is the hash of the line before it.
 * - An entry `audit.sealed` is a checkpoint: a JWS that names an earlier entry by number and hash. A hash stands for all entries up to its own.
 * - A checkpoint is signed by the key in force. An entry `audit.key_rotated` holds the signature of that key on the next one.
 * - An entry `store.segment` says that a person declared a loss. If it says `restart`, the chain begins anew there.
 */
import { createPublicKey, hash as digest, type KeyObject, verify } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface VerifyOptions {
  /** Files with public keys, as PEM: the first key in use must be one of them. Absent: those in the folders are trusted. */
  readonly publicKeys?: readonly string[];
  /** The log is at least this long, and that entry has this hash. */
  readonly expect?: { readonly size: number; readonly hash: string };
  /** The log may begin with this entry, although nothing in the folders says what was before. */
  readonly from?: number;
}

/**
 * Of the entries `first` to `last`, those up to `sealed` are sealed, and `unsealed` after it are not yet. `kids` names the keys that were in force, in this order.
 * `segments` are those that were declared; their `unsealed` counts the entries before it that never were sealed.
 */
export type Verified = Awaited<ReturnType<typeof verifyAudit>>;

/** What is wrong, and at which entry; null where it is about no entry. */
export class Tampered extends Error {
  readonly entry: number | null;

  constructor(entry: number | null, problem: string) {
    super(entry === null ? problem : `Entry ${entry}${problem.startsWith(',') ? '' : ' '}${problem}.`);
    this.entry = entry;
  }
}

type Keys = Map<string, KeyObject>;
type Members = Readonly<Record<string, unknown>>;
interface Entry {
  readonly seq: number;
  readonly type: string;
  readonly prev: string;
  readonly hash: string;
  readonly line: string;
  readonly at: number; // where `hash` begins in the line
}

const [NO_HASH, HASH_LENGTH] = ['0'.repeat(64), '"hash":"",'.length + 64];
const MOST_BETWEEN = 1_000; // entries, from the last one that a checkpoint covers to the checkpoint
const LONGEST_LINE = 16 * 1024 ** 2; // bytes: what is longer is no entry, and is not read to its end

function bad(entry: number | null, problem: string): never {
  throw new Tampered(entry, problem);
}

/** What the entries so far have come to. */
interface Log {
  first: number; // the number of the first entry; 0: there was none yet
  next: number; // the number of the next one
  last: string; // the hash of the last one
  readonly recent: string[]; // hashes by number, modulo MOST_BETWEEN
  begins: boolean; // it is known what came before the first entry
  sealed: { readonly seq: number; readonly hash: string }; // the last entry that a checkpoint covers
  sealedAt: string | null; // the time of the last checkpoint
  store: unknown; // which the next checkpoint has to name; null where that is not known
  segment: unknown; // the same
  readonly segments: { readonly first: number; readonly reason: string; readonly unsealed: number }[];
  isRestarted: boolean; // and no checkpoint came since: another key may come, for the one before may have been lost
  readonly keys: Keys; // all that are known, by kid
  readonly pinned: Keys | null; // those that were given
  readonly kids: string[]; // of the keys that were in force: the last one is
}

const NOTHING_READ = {
  first: 0,
  next: 0,
  last: NO_HASH,
  begins: false,
  sealed: { seq: 0, hash: NO_HASH },
  sealedAt: null,
  store: null,
  segment: null,
  isRestarted: false,
};

/** Reads all folders side by side, in the order of the numbers. Where they overlap, they have to be equal. @throws Tampered */
export async function verifyAudit(dirs: readonly string[], options: VerifyOptions = {}) {
  const pinned = options.publicKeys === undefined ? null : await readKeys(options.publicKeys);
  const found = await Promise.all(dirs.map(async (dir) => (await readdir(dir)).map((name) => join(dir, name))));
  const known = await readKeys(found.flat().filter((path) => /audit-key-[\w-]+\.pem$/.test(path)));
  const keys = new Map([...known, ...(pinned ?? [])]);
  const log: Log = { ...NOTHING_READ, recent: [], segments: [], kids: [], keys, pinned };
  const folders = dirs.map((dir): Folder => ({ dir, batches: linesOf(dir), lines: [], at: 0, entry: null }));
  try {
    for (;;) {
      for (const folder of folders) {
        if (folder.at === folder.lines.length)
          [folder.lines, folder.at] = [(await folder.batches.next()).value ?? [], 0];
        if (folder.lines.length > 0) folder.entry ??= parse(folder, log.next);
      }
      const first = earliest(folders);
      if (first?.entry == null) return end(log, options);
      const { entry } = first;
      take(log, entry, options);
      for (const folder of folders) {
        if (folder.entry?.seq !== entry.seq) continue;
        if (folder.entry.line !== entry.line) bad(entry.seq, `differs in ${first.dir} and ${folder.dir}`);
        folder.entry = null;
        folder.at += 1;
      }
    }
  } finally {
    for (const { batches } of folders) await batches.return(undefined);
  }
}

/** Checks the number of an entry, its hash and that of the entry before it; then what it says of the seal. */
function take(log: Log, entry: Entry, { expect }: VerifyOptions): void {
  const { seq, type, prev, hash, line, at } = entry;
  if (log.first === 0) {
    [log.first, log.next, log.begins] = [seq, seq, seq === 1];
    if (seq === 1) log.segment = 1;
    else log.last = log.recent[(seq - 1) % MOST_BETWEEN] = prev;
  }
  if (seq > log.next) bad(log.next, `is missing: entry ${seq} comes next`);
  if (seq < log.next) bad(seq, 'comes a second time');
  if (digest('sha256', line.slice(0, at) + line.slice(at + HASH_LENGTH)) !== hash)
    bad(seq, 'was changed: it does not have the hash that it states');
  if (prev !== log.last && !restarts(entry))
    bad(seq, `does not follow entry ${seq - 1}: one of them was changed, or is of another log`);
  if (type === 'audit.sealed') checkpoint(log, entry);
  else if (type === 'audit.key_rotated' || type === 'audit.key_created') changeKey(log, entry);
  else if (type === 'store.segment') beginSegment(log, entry);
  log.last = log.recent[seq % MOST_BETWEEN] = hash;
  log.next = seq + 1;
  if (expect?.size === seq && expect.hash !== hash) bad(seq, `has the hash ${hash}, not that expected`);
}

/** A checkpoint is signed by the key in force, follows the checkpoint before it, and names an entry by the hash that this entry has. */
function checkpoint(log: Log, entry: Entry): void {
  const at = entry.seq;
  const { data, time } = membersOf(entry);
  const { seq, hash } = data;
  useKey(log, at, data.kid);
  const claims = signed(log, at, data.jws);
  if (typeof seq !== 'number' || claims.type !== 'audit.sealed' || claims.seq !== seq || claims.hash !== hash)
    bad(at, 'is a checkpoint with a signature on something else');
  if (seq >= at || seq < at - MOST_BETWEEN || (log.sealedAt !== null && seq <= log.sealed.seq))
    bad(at, `is a checkpoint on entry ${seq}, where it has no place`);
  if (claims.store !== (log.store ?? claims.store) || claims.segment !== (log.segment ?? claims.segment))
    bad(at, 'is a checkpoint of another store, or of a segment that was not declared');
  const follows = claims.previous_seq === log.sealed.seq && claims.previous_hash === log.sealed.hash;
  // Of a log that begins in the middle it is not known. And what made a new segment necessary may have been its loss.
  const mayNot = log.sealedAt === null ? log.first > 1 : log.isRestarted && claims.previous_seq === 0;
  if (!follows && !mayNot) bad(at, 'is a checkpoint that does not follow the one before it');
  if (seq >= log.first - 1) {
    const from = Math.max(log.sealed.seq + 1, log.first);
    if (log.recent[seq % MOST_BETWEEN] !== hash)
      bad(from, `, or one up to ${seq}, is not what checkpoint ${at} sealed`);
    log.begins ||= seq === log.first - 1;
    log.sealed = { seq, hash: String(hash) };
  }
  [log.sealedAt, log.store, log.segment, log.isRestarted] = [time, claims.store, claims.segment, false];
}

/** Another key comes into force: the one before it has signed it. Only the first key, and the first one after a restart, is signed by none. */
function changeKey(log: Log, entry: Entry): void {
  const { seq: at, type } = entry;
  const { data } = membersOf(entry);
  const [kid, key] = keyOf({ key: { kty: 'OKP', crv: 'Ed25519', x: String(data.x) }, format: 'jwk' }, at);
  const isSigned = type === 'audit.key_rotated';
  if (isSigned) {
    useKey(log, at, data.before);
    const claims = signed(log, at, data.jws);
    const isHere = claims.hash === log.sealed.hash || (log.sealedAt === null && log.first > 1);
    if (claims.type !== type || claims.kid !== kid || claims.x !== data.x || !isHere)
      bad(at, 'names another signing key, and the key in force has not signed that');
  } else if (log.kids.length > 0 && !log.isRestarted)
    bad(at, 'names a signing key that the key in force has not signed');
  if (kid !== data.kid) bad(at, 'names a signing key, and the kid is not its thumbprint');
  log.keys.set(kid, key);
  if (isSigned) log.kids.push(kid);
  else trust(log, at, kid);
}

/** A key that no other one has signed has to be one of those given, where some were. */
function trust({ pinned, kids }: Log, at: number, kid: string): void {
  if (pinned?.has(kid) === false) bad(at, `is signed with ${kid}, which is not the given key`);
  kids.push(kid);
}

/** The key that an entry names has to be in force. The first one that is named comes into force by that. */
function useKey(log: Log, at: number, kid: unknown): void {
  const inForce = log.kids.at(-1);
  if (inForce === undefined) trust(log, at, String(kid));
  else if (kid !== inForce) bad(at, `is signed with ${kid}, and the key in force is ${inForce}`);
}

/** The claims of a JWS (RFC 7515, EdDSA) by the key in force. */
function signed({ keys, kids }: Log, at: number, jws: unknown): Members {
  const kid = kids.at(-1) ?? '';
  const key = keys.get(kid);
  if (key === undefined) bad(at, `is signed with ${kid}, and no folder has audit-key-${kid}.pem`);
  const [head = '', payload = '', signature = ''] = String(jws).split('.');
  if (!verify(null, Buffer.from(`${head}.${payload}`), key, Buffer.from(signature, 'base64url')))
    bad(at, 'has a signature that is not valid');
  return objectIn(Buffer.from(payload, 'base64url').toString(), at);
}

function beginSegment(log: Log, entry: Entry): void {
  const { seq } = entry;
  const { reason, data } = membersOf(entry);
  const isRestart = restarts(entry);
  log.segments.push({ first: seq, reason, unsealed: isRestart ? unsealedAt(log, seq - 1) : 0 });
  log.begins ||= isRestart && seq === log.first;
  [log.store, log.segment, log.isRestarted] = [data.store, seq, isRestart];
}

const restarts = (entry: Entry) =>
  entry.type === 'store.segment' && entry.prev === NO_HASH && membersOf(entry).data.restart === true;

/** Entries up to that one which no checkpoint covers, the last checkpoint aside. */
const unsealedAt = ({ first, sealed, sealedAt }: Log, end: number) =>
  Math.max(0, end - Math.max(sealed.seq, first - 1) - (sealedAt ? 1 : 0));

/** Checks that the log is all that was asked for, and says what it is. */
function end(log: Log, { expect, from }: VerifyOptions) {
  const { first, sealed, sealedAt, kids, segments } = log;
  const last = log.next - 1;
  if (first === 0) bad(null, 'There is no audit-<number>.jsonl with an entry in it.');
  if (!log.begins && first !== from)
    bad(first, `is the first, and nothing says what was before: add older files, or --from ${first}`);
  if (expect !== undefined && (last < expect.size || first > expect.size))
    bad(expect.size, `is expected, and the log has entries ${first} to ${last}`);
  if (sealedAt === null && expect?.size !== last) bad(first, 'and all after it are not sealed: there is no checkpoint');
  const counts = { sealed: sealed.seq, unsealed: unsealedAt(log, last) };
  return { first, last, hash: log.last, ...counts, sealedAt, kids, segments };
}

/** Of an entry that says something of the seal. @throws Tampered when it cannot be one of ours, although it has the hash that it states */
function membersOf({ seq, line }: Entry): { time: string; reason: string; data: Members } {
  const found = objectIn(line, seq);
  if (typeof found.data !== 'object' || found.data === null) bad(seq, 'has no data');
  return { time: String(found.time), reason: String(found.reason), data: { ...found.data } };
}

function objectIn(text: string, at: number): Members {
  try {
    return { ...JSON.parse(text) };
  } catch {
    return bad(at, 'holds text that is no JSON');
  }
}

interface Folder {
  readonly dir: string;
  readonly batches: AsyncGenerator<readonly string[]>;
  /** The last batch; the next line is `lines[at]`, which says `entry`. */
  lines: readonly string[];
  at: number;
  entry: Entry | null;
}

/** The one whose next entry comes first; null when all are read. */
function earliest(folders: readonly Folder[]): Folder | null {
  let first: Folder | null = null;
  for (const folder of folders) {
    if (folder.entry !== null && (first?.entry == null || folder.entry.seq < first.entry.seq)) first = folder;
  }
  return first;
}

async function* linesOf(dir: string): AsyncGenerator<readonly string[]> {
  const files = (await readdir(dir)).filter((name) => /^audit-\d+\.jsonl$/.test(name));
  for (const file of files.sort((a, b) => Number.parseInt(a.slice(6), 10) - Number.parseInt(b.slice(6), 10))) {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of createReadStream(join(dir, file))) {
      const bytes: Buffer = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
      const end = bytes.lastIndexOf('\n');
      if (end >= 0) yield bytes.toString('utf8', 0, end).split('\n');
      rest = bytes.subarray(end + 1);
      if (rest.length > LONGEST_LINE) break;
    }
    if (rest.length > 0) yield [rest.toString()]; // cut off, or too long: it is no entry
  }
}

/** Members are sorted, so only strings and a number come after `hash`: no quote in them is one without a backslash. */
function parse({ dir, lines, at: index }: Folder, next: number): Entry {
  const line = lines[index] ?? '';
  const at = line.lastIndexOf('"hash":"');
  const typeAt = line.lastIndexOf('"type":"');
  const [seqAt, prevAt] = [line.lastIndexOf('"seq":', typeAt) + 6, at + HASH_LENGTH + 8];
  const [hash, prev] = [line.slice(at + 8, at + 72), line.slice(prevAt, prevAt + 64)];
  const [seq, type] = [Number.parseInt(line.slice(seqAt, seqAt + 16), 10), line.slice(typeAt + 8, -2)];
  if (line.startsWith('","prev":"', at + 72) && seq > 0 && line.endsWith('"}'))
    return { seq, type, prev, hash, line, at };
  return bad(next, `cannot be read in ${dir}: the line is no entry, or one of a version that exported no hashes`);
}

const readKeys = async (files: readonly string[]) =>
  new Map(await Promise.all(files.map(async (file) => keyOf(await readFile(file)))));

/** With its RFC 7638 thumbprint. @param at the entry that names it @throws Tampered when it is no key */
function keyOf(given: Parameters<typeof createPublicKey>[0], at: number | null = null): [kid: string, key: KeyObject] {
  try {
    const key = createPublicKey(given);
    const { crv, kty, x } = key.export({ format: 'jwk' });
    return [digest('sha256', JSON.stringify({ crv, kty, x }), 'base64url'), key];
  } catch {
    bad(at, at === null ? 'A public key cannot be read.' : 'names a public key that cannot be read');
  }
}
