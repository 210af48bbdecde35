/** `rekeyd audit tail --follow`: entries as they come, from a number on. */
import type { AuditEntry } from '../core/audit.ts';
import { RekeydError } from '../errors.ts';
import type { Store } from '../store/store.ts';
import { sleep, untilAborted } from '../time.ts';
import { awaitInterruption, type Globals } from './open.ts';
import { note, printInTime } from './output.ts';

const POLL_MS = 500;
const PAGE = 1_000;

type Log = Pick<Store, 'settledAfter' | 'auditSize'>;

/**
 * Prints a line for each entry after number `from` until SIGINT or SIGTERM. Only entries that are on disk: the reader goes on later from the last number
 * that it got, and a power cut must not give that number to another entry. While Redis is away it waits.
 * @throws RekeydError `store_lost` when the log ends before what was printed
 */
export async function followLog(
  globals: Globals,
  store: Log,
  from: number,
  show: (entry: AuditEntry) => string,
): Promise<void> {
  const { signal, release } = awaitInterruption(globals);
  try {
    for (let last = from; !signal.aborted; ) last = await printAfter(store, last, show, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    release();
  }
}

/** @returns the number of the last entry that was printed */
async function printAfter(
  store: Log,
  after: number,
  show: (entry: AuditEntry) => string,
  signal: AbortSignal,
): Promise<number> {
  const entries = await untilAborted(store.settledAfter(after, PAGE), signal);
  tellCut(after, entries[0]);
  for (const entry of entries) await printInTime(show(entry), signal);
  if (entries.length === PAGE) return entries.at(-1)?.seq ?? after;
  const size = await untilAborted(store.auditSize(), signal);
  if (size < after) {
    throw new RekeydError(
      'store_lost',
      `The log ends at number ${size} now, and number ${after} was printed: the store was lost or rolled back. See \`rekeyd store status\`.`,
    );
  }
  await sleep(POLL_MS, signal);
  return entries.at(-1)?.seq ?? after;
}

/** Numbers have no gaps, so what is missing at the beginning was cut. */
export function tellCut(after: number | undefined, first: AuditEntry | undefined): void {
  if (after === undefined || first === undefined || first.seq === after + 1) return;
  note(`Entries ${after + 1} to ${first.seq - 1} are no longer in Redis: they were exported and cut. Read the export.`);
}
