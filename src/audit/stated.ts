/** From where the chain can be computed: what checkpoints in the log say. */
import type { AuditEntry } from '../core/audit.ts';
import { BEFORE_ALL, type EntrySource, type Link, NO_HASH, restarts, sealBroken } from './chain.ts';
import { MOST_BETWEEN } from './seal.ts';

const PAGE = 1_000;

/**
 * The last link up to entry `seq` that a checkpoint states, or that begins a chain.
 * @throws RekeydError `seal_broken` when there is none: the log begins above number 1, and nothing says what was before
 */
export async function statedBefore(source: EntrySource, seq: number): Promise<Link> {
  const stated = await lastStated(source, 0, seq);
  if (stated !== null) return stated;
  const [first] = await source.auditAfter(0, 1);
  if (first === undefined || first.seq === 1) return BEFORE_ALL;
  throw sealBroken(`it begins with entry ${first.seq}, and no checkpoint says what was before`);
}

/** As {@link statedBefore}, but only above entry `floor`; null when there is none. Reads no entries below that. */
export async function lastStated(source: EntrySource, floor: number, seq: number): Promise<Link | null> {
  // A checkpoint comes after what it covers.
  for (let to = seq + MOST_BETWEEN; to > floor; to -= PAGE) {
    const from = Math.max(floor, to - PAGE);
    const page = (await source.auditAfter(from, to - from)).filter((entry) => entry.seq <= to);
    for (const entry of page.toReversed()) {
      const link = statedBy(entry);
      if (link !== null && link.seq > floor && link.seq <= seq) return link;
    }
    if (page.length === 0 && to <= seq) break;
  }
  return null;
}

function statedBy(entry: AuditEntry): Link | null {
  if (restarts(entry)) return { seq: entry.seq - 1, hash: NO_HASH };
  const { seq, hash } = entry.data;
  return entry.type === 'audit.sealed' && typeof seq === 'number' && typeof hash === 'string' ? { seq, hash } : null;
}
