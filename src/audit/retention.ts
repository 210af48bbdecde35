/**
 * Exports the sealed part of the audit log to every place that the config names, and then cuts what is too old or too much. An export that fails stops
 * neither the others nor a rotation: the log grows meanwhile. One worker at a time does this.
 */
import { monotonic } from '../time.ts';
import type { EntrySource, Link } from './chain.ts';
import { cutLog, type Extent, wantedCut } from './cut.ts';
import { type Exporting, exportTo, Overtaken, type Progress } from './exporting.ts';
import type { AuditExport } from './exports/export.ts';

export interface RetentionStore extends EntrySource {
  now(): Promise<number>;
  sealedSize(): Promise<Link & { readonly checkpointSeq: number }>;
  logExtent(): Promise<Extent>;
  holdRetention(holder: string, ms: number): Promise<number>;
  exportProgress(): Promise<ReadonlyMap<string, Progress>>;
  noteExport(fence: number, id: string, before: Progress | null, after: Progress | null): Promise<boolean>;
  cutAudit(fence: number, to: number, exports: readonly string[]): Promise<number | null>;
}

export interface RetentionOptions extends Pick<Exporting, 'tell' | 'hanging' | 'signal'> {
  readonly keepMs: number;
  readonly mostBytes: number;
  readonly exports: readonly AuditExport[];
  /** A name that no other worker has. */
  readonly holder: string;
  /** The lowest number of an entry that somebody else still reads; null: nobody does. */
  neededFrom(): Promise<number | null>;
}

export interface Retained {
  /** How far each export is, by name. */
  readonly exported: Readonly<Record<string, number>>;
  /** Entries that were cut now. */
  readonly cut: number;
}

/** Longer than one batch, or one answer of a folder, may take. */
const LEASE_MS = 3 * 60_000;

/** After this time, in ms, exports give way: the next run goes on. */
const RUN_MS = 5 * 60_000;

/** Progress of an export that no config names is forgotten after this time, in ms. */
const FORGOTTEN_MS = 24 * 60 * 60_000;

/** The lease stays with the caller. @returns null when another worker does it */
export async function retain(store: RetentionStore, options: RetentionOptions): Promise<Retained | null> {
  const { holder } = options;
  const fence = await store.holdRetention(holder, LEASE_MS);
  if (fence === 0) return null;
  const hold = async () => {
    if ((await store.holdRetention(holder, LEASE_MS)) !== fence) throw new Overtaken();
  };
  try {
    return await work(store, options, fence, hold);
  } catch (error) {
    if (error instanceof Overtaken) return null;
    throw error;
  }
}

async function work(
  store: RetentionStore,
  options: RetentionOptions,
  fence: number,
  hold: () => Promise<void>,
): Promise<Retained> {
  const { exports } = options;
  const [sealed, extent, now, known] = await Promise.all([
    store.sealedSize(),
    store.logExtent(),
    store.now(),
    store.exportProgress(),
  ]);
  const ids = exports.map(({ id }) => id);
  for (const [id, progress] of known) {
    const isOver = !ids.includes(id) && progress.at + FORGOTTEN_MS < now;
    if (isOver) await store.noteExport(fence, id, progress, null);
  }
  if (exports.length === 0) return { exported: {}, cut: 0 };
  const wanted = await wantedCut(store, extent, { ...options, now });
  const run: Exporting = {
    ...options,
    source: store,
    // With the checkpoint itself: an export is verified by it.
    end: Math.max(sealed.seq, sealed.checkpointSeq),
    wanted,
    first: extent.first,
    now: store.now,
    until: monotonic() + RUN_MS,
    async note(id, before, after) {
      await hold();
      if (!(await store.noteExport(fence, id, before, after))) throw new Overtaken();
    },
  };
  // Each to its end: one that was overtaken must not leave the others at work.
  const ended = await Promise.allSettled(exports.map((to) => exportTo(to, known.get(to.id) ?? null, run)));
  const reached = ended.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
  const exported = Object.fromEntries(exports.map(({ name }, index) => [name, reached[index] ?? 0]));
  const needed = await options.neededFrom();
  const to = Math.min(wanted, sealed.seq, ...reached, needed === null ? wanted : needed - 1);
  await hold();
  return { exported, cut: await cutLog(store, { first: extent.first, to, fence, ids }) };
}
