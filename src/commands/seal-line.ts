/** How far the audit log is sealed, as `store status` and `doctor` tell it. */
import type { Store } from '../store/store.ts';

/** Workers seal every few seconds: what has waited longer, in ms, waits for something else. */
const LATE_MS = 5 * 60_000;

export interface SealLine {
  /** A clause without a full stop. */
  readonly line: string;
  readonly isLate: boolean;
  readonly sealed: { readonly seq: number; readonly hash: string };
  readonly unsealed: number;
  readonly kid: string | null;
}

export async function sealLine(store: Pick<Store, 'sealState' | 'auditUnsealed'>): Promise<SealLine> {
  const [{ sealed, kid }, { entries, sinceMs }] = [await store.sealState(), await store.auditUnsealed()];
  const upTo = kid === null ? 'not sealed yet' : `sealed up to ${sealed.seq}:${sealed.hash} by key ${kid}`;
  const waiting = entries === 0 ? 'nothing waits' : `${entries} not sealed for ${Math.round(sinceMs / 1000)} s`;
  return { line: `${upTo}, ${waiting}`, isLate: sinceMs > LATE_MS, sealed, unsealed: entries, kid };
}
