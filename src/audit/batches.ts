/** The sealed part of the log in batches, for exports that take one batch after the other. */
import { chain, type EntrySource, lineOf } from './chain.ts';
import { openChecks } from './export.ts';
import type { Batch, ExportLine } from './exports/export.ts';
import { statedBefore } from './stated.ts';

/** A batch ends with whichever it comes to first. */
const MOST_LINES = 500;
const MOST_CHARACTERS = 512 * 1024;

export interface Wanted {
  /** The last entry that was taken. */
  readonly after: number;
  /** Where the first batch ends: it may have been sent before. Null: anywhere. */
  readonly firstEnd: number | null;
  /** The last entry that is taken. */
  readonly end: number;
  /** Told the first checkpoint that is about other entries than those in the store. */
  readonly onBroken: (checkpoint: number) => void;
}

export async function* batchesOf(
  source: EntrySource,
  { after, firstEnd, end, onBroken }: Wanted,
): AsyncGenerator<Batch> {
  const checks = openChecks();
  let isTold = false;
  let lines: ExportLine[] = [];
  let size = 0;
  let batchEnd = firstEnd;
  for await (const page of chain(source, await statedBefore(source, after), end)) {
    for (const linked of page) {
      checks.see(linked);
      if (checks.broken !== null && !isTold) onBroken(checks.broken);
      isTold = checks.broken !== null;
      if (linked.seq <= after) continue;
      const text = lineOf(linked);
      const { seq, time, type } = linked.entry;
      lines.push({ seq, time, type, text });
      size += text.length;
      const isFull = batchEnd === null ? lines.length === MOST_LINES || size >= MOST_CHARACTERS : seq === batchEnd;
      if (!isFull && seq !== end) continue;
      const [first, ...others] = lines;
      if (first !== undefined) yield [first, ...others];
      [lines, size, batchEnd] = [[], 0, null];
    }
  }
}
