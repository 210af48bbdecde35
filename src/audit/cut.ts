/** Which entries are cut from the log: those that are too old, and those that are too many. */
import type { EntrySource } from './chain.ts';
import { lastStated } from './stated.ts';

export interface Extent {
  readonly first: number;
  readonly last: number;
  readonly bytes: number;
}

export interface Limits {
  readonly keepMs: number;
  readonly mostBytes: number;
  /** Of the store, in ms since the epoch. */
  readonly now: number;
}

/** Parts of `most`. Cutting begins below it, because the size is an estimate; and goes on to less, so that not every run cuts a few entries. */
const FULL = 0.95;
const ROOM = 0.9;

/** Entries that one script cuts: it keeps Redis from all other work for a few milliseconds. */
const STEP = 10_000;

/** @returns the number of the last entry that is too old or too much; less than `first` where there is none */
export async function wantedCut(source: EntrySource, extent: Extent, limits: Limits): Promise<number> {
  return Math.max(tooMany(extent, limits), await tooOld(source, extent, limits));
}

function tooMany({ first, last, bytes }: Extent, { mostBytes }: Limits): number {
  if (bytes <= FULL * mostBytes) return first - 1;
  const entries = last - first + 1;
  return first - 1 + Math.ceil(entries * (1 - (ROOM * mostBytes) / bytes));
}

/** Times rise with numbers, unless a clock was set back: then some entries stay a while longer. */
async function tooOld(source: EntrySource, { first, last }: Extent, { keepMs, now }: Limits): Promise<number> {
  const isOld = async (seq: number) => {
    const [entry] = await source.auditAfter(seq - 1, 1);
    return entry !== undefined && Date.parse(entry.time) < now - keepMs;
  };
  let [old, young] = [first - 1, last + 1];
  if (last < first || !(await isOld(first))) return old;
  while (young - old > 1) {
    const middle = Math.floor((old + young) / 2);
    if (await isOld(middle)) old = middle;
    else young = middle;
  }
  return old;
}

export interface Cutting {
  /** The first entry of the log. */
  readonly first: number;
  /** No entry after this one is cut. */
  readonly to: number;
  readonly fence: number;
  /** Ids of the exports that must have what is cut. */
  readonly ids: readonly string[];
}

export interface CuttingStore extends EntrySource {
  cutAudit(fence: number, to: number, exports: readonly string[]): Promise<number | null>;
}

/**
 * Cuts only up to an entry of which a checkpoint that stays says the hash: from there the chain goes on.
 * @returns how many entries
 */
export async function cutLog(store: CuttingStore, { first, to, fence, ids }: Cutting): Promise<number> {
  let total = 0;
  for (let floor = first - 1; floor < to; ) {
    const end = Math.min(to, floor + STEP);
    const stated = await lastStated(store, floor, end);
    floor = end;
    if (stated === null) continue;
    const cut = await store.cutAudit(fence, stated.seq, ids);
    if (cut === null) break;
    total += cut;
  }
  return total;
}
