import type { ClientRecord } from './record.ts';
import { isUrgent } from './retirement.ts';

/** Sign-ins are refused, or a leaked key is accepted, for as long as this waits. */
export function isPressing(record: ClientRecord): boolean {
  const { rotation, retirements } = record;
  const phase = rotation?.phase.name;
  const mayBeCut =
    phase === 'cut_over' || phase === 'reverting' || (phase === 'delivered' && rotation?.before !== null);
  const isSplit = rotation?.strategy === 'cutover' && mayBeCut;
  return rotation?.compromised != null || isSplit || retirements.some((old) => isUrgent(record, old));
}
