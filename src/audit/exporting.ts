/** One export of the audit log: takes it further, and notes in the store how far it is. */
import { messageOf } from '../errors.ts';
import { after, monotonic, untilAborted } from '../time.ts';
import { batchesOf } from './batches.ts';
import type { EntrySource } from './chain.ts';
import type { AuditExport, FolderExport, StreamExport } from './exports/export.ts';

/** How far one export is, as the store keeps it. */
export interface Progress {
  readonly seq: number;
  readonly sending: number | null;
  readonly place: string | null;
  readonly at: number;
  readonly failing: { readonly why: string; readonly since: number } | null;
}

/** Files of a folder have so many entries, or are written after this time, in ms: one a minute would be half a million a year. */
const FILE_ENTRIES = 10_000;
export const FILE_EVERY_MS = 60 * 60_000;

/** How long a folder may take to answer, in ms. */
const FOLDER_MS = 60_000;

/** Another worker has taken over. */
export class Overtaken extends Error {}

/** For the log of the process. */
export interface ExportNews {
  /** Told once, and again when the reason changes. */
  fails(name: string, why: string): void;
  goesOn(name: string): void;
  /** This checkpoint is about other entries than those in the store. */
  broken(name: string, checkpoint: number): void;
  /** These entries were cut while no config named the export: it never gets them. */
  missed(name: string, from: number, to: number): void;
}

export interface Exporting {
  readonly source: EntrySource;
  /** The last entry that is exported. */
  readonly end: number;
  /** Entries up to this one are to be cut as soon as they are exported. */
  readonly wanted: number;
  /** The first entry of the log. */
  readonly first: number;
  now(): Promise<number>;
  /** @throws Overtaken */
  note(id: string, before: Progress | null, after: Progress): Promise<void>;
  readonly tell: ExportNews;
  /** Writes that have not come back: a file system that hangs keeps a thread, and is not given a second one. */
  readonly hanging: Map<string, Promise<unknown>>;
  /** In ms of the monotonic clock: then an export gives way, and the next run goes on. */
  readonly until: number;
  readonly signal: AbortSignal;
}

interface Ledger {
  held: Progress;
  write(change: Partial<Progress>): Promise<void>;
}

/** Never throws for what the export is. @returns how far it is now @throws Overtaken, and as the store does */
export async function exportTo(to: AuditExport, known: Progress | null, run: Exporting): Promise<number> {
  const ledger = await openLedger(to, known, run);
  const failed = await work(to, ledger, run);
  const before = ledger.held.failing;
  if (run.signal.aborted) return ledger.held.seq;
  if (failed === null && before !== null) await ledger.write({ failing: null });
  if (failed !== null) await ledger.write({ failing: { why: failed, since: before?.since ?? (await run.now()) } });
  if (failed === null && before !== null) run.tell.goesOn(to.name);
  if (failed !== null && failed !== before?.why) run.tell.fails(to.name, failed);
  return ledger.held.seq;
}

/** A new export is noted before anything is sent: from then on nothing is cut that it does not have. */
async function openLedger({ id }: AuditExport, known: Progress | null, run: Exporting): Promise<Ledger> {
  const write = async (before: Progress | null, change: Partial<Progress>): Promise<Progress> => {
    const fresh = { seq: run.first - 1, sending: null, place: null, failing: null };
    const next = { ...fresh, ...before, ...change, at: await run.now() };
    await run.note(id, before, next);
    return next;
  };
  const ledger: Ledger = {
    held: known ?? (await write(null, {})),
    async write(change) {
      ledger.held = await write(ledger.held, change);
    },
  };
  return ledger;
}

/** @returns why it does not go on; null when it does */
async function work(to: AuditExport, ledger: Ledger, run: Exporting): Promise<string | null> {
  try {
    await (to.kind === 'folder' ? writeFiles(to, ledger, run) : sendBatches(to, ledger, run));
    return null;
  } catch (error) {
    if (error instanceof Overtaken) throw error;
    return messageOf(error);
  }
}

async function sendBatches(to: StreamExport, ledger: Ledger, run: Exporting): Promise<void> {
  if (ledger.held.seq < run.first - 1) {
    run.tell.missed(to.name, ledger.held.seq + 1, run.first - 1);
    await ledger.write({ seq: run.first - 1, sending: null });
  }
  const { seq: after, sending: firstEnd } = ledger.held;
  if (after >= run.end) return;
  const onBroken = (checkpoint: number) => run.tell.broken(to.name, checkpoint);
  for await (const batch of batchesOf(run.source, { after, firstEnd, end: run.end, onBroken })) {
    const last = (batch.at(-1) ?? batch[0]).seq;
    // First: should we die now, the same batch is sent again, and a receiver knows it by its first number.
    if (ledger.held.sending !== last) await ledger.write({ sending: last });
    await to.send(batch, run.signal);
    await ledger.write({ seq: last, sending: null });
    if (run.signal.aborted || monotonic() > run.until) return;
  }
}

async function writeFiles(to: FolderExport, ledger: Ledger, run: Exporting): Promise<void> {
  const { held } = ledger;
  if (!(await isTime(held, run))) return;
  if (run.hanging.has(to.id)) throw silent();
  const writing = to.write(run.end, held.place);
  run.hanging.set(to.id, writing);
  writing.then(
    () => run.hanging.delete(to.id),
    () => run.hanging.delete(to.id),
  );
  const late = after(FOLDER_MS);
  const { last, place } = await untilAborted(writing, AbortSignal.any([run.signal, late])).catch((error: unknown) => {
    throw error === late.reason ? silent() : error;
  });
  // A person may have exported there by hand, and further.
  if (last > held.seq || place !== held.place) await ledger.write({ seq: Math.max(last, held.seq), place });
}

function silent(): Error {
  return new Error(`the folder has not answered for ${FOLDER_MS / 1000} s`);
}

/** A folder that failed is tried in each run, and so is one that a cut waits for. */
async function isTime({ seq, failing }: Progress, { source, end, wanted, now }: Exporting): Promise<boolean> {
  if (seq >= end) return failing !== null;
  if (failing !== null || end - seq >= FILE_ENTRIES || wanted > seq) return true;
  const [oldest] = await source.auditAfter(seq, 1);
  return oldest !== undefined && Date.parse(oldest.time) + FILE_EVERY_MS <= (await now());
}
