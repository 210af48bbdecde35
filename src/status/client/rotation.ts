/** One rotation as it is told to those who follow it. */
import type { ClientRef } from '../../core/client.ts';
import type { RotationState, RotationSummary } from '../../core/history.ts';
import type { ClientRecord } from '../../core/record.ts';
import { runningSummary } from '../../core/rotation.ts';
import type { Store } from '../../store/store.ts';

/** In the record while it is under way or its old key is on its way out, and in the history after that. Undefined: the history no longer tells of it. */
export async function summaryOf(
  store: Pick<Store, 'history'>,
  id: string,
  client: ClientRef,
  record: ClientRecord | undefined,
): Promise<RotationSummary | undefined> {
  if (record?.rotation?.id === id) return runningSummary(record, record.rotation);
  const leaving = record?.retirements.find(({ rotation, role }) => rotation.id === id && role === 'replaced');
  return leaving?.rotation ?? (await store.history(client)).find((summary) => summary.id === id);
}

const ENDED: readonly RotationState[] = ['finished', 'failed', 'rolled_back'];

/** Nothing more happens to it. */
export function hasEnded({ state }: Pick<RotationSummary, 'state'>): boolean {
  return ENDED.includes(state);
}
