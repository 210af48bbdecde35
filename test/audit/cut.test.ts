/** What is read of a log in order to cut it: no more than is cut, also where it was not sealed for long. */
import { expect, it } from 'vitest';
import { type CuttingStore, cutLog } from '../../src/audit/cut.ts';
import type { AuditEntry } from '../../src/core/audit.ts';

/** Entries that nothing sealed for long, then one checkpoint on all of them. */
const UNSEALED = 100_000;
const CHECKPOINT = UNSEALED + 1;

function entry(seq: number): AuditEntry {
  const about = { client: null, rotation: null, actor: 'test', reason: 'test', time: '2026-11-27T10:00:00.000Z' };
  if (seq < CHECKPOINT) return { ...about, seq, type: 'client.found', data: {} };
  return { ...about, seq, type: 'audit.sealed', data: { seq: UNSEALED, hash: 'a'.repeat(64) } };
}

it('cuts a long stretch without a checkpoint in one go, and reads it about once', async () => {
  let read = 0;
  const cuts: number[] = [];
  const store: CuttingStore = {
    async auditAfter(seq, limit) {
      const count = Math.max(0, Math.min(limit, CHECKPOINT - seq));
      read += count;
      return Array.from({ length: count }, (_, index) => entry(seq + 1 + index));
    },
    async cutAudit(_fence, to) {
      cuts.push(to);
      return to;
    },
  };
  expect(await cutLog(store, { first: 1, to: UNSEALED, fence: 1, ids: ['folder'] })).toBe(UNSEALED);
  expect(cuts).toEqual([UNSEALED]);
  expect(read).toBeLessThan(1.2 * UNSEALED);
});
