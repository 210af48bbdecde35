/** Whether the server's document has to change. */
import type { Owner, Purpose } from './action.ts';
import { isOfferMissing } from './adoption.ts';
import { desiredDocument, servesOther } from './desired.ts';
import { activeKey } from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import { readBack } from './readback.ts';
import type { ClientRecord } from './record.ts';
import { isSuperseded } from './retirement.ts';

/** Why the server's document has to change now, and who asks; null when nobody does. */
export function publication(
  record: ClientRecord,
  policy: ClientPolicy,
): { readonly purpose: Purpose; readonly owner: Owner } | null {
  const { rotation, retirements } = record;
  if (rotation?.phase.name === 'reverting') return { purpose: 'revert', owner: 'rotation' };
  if (rotation?.phase.name === 'delivered') {
    // Nothing more of it is sent while it is found out which key the server takes.
    if (rotation.abandoned !== null) return null;
    return { purpose: rotation.strategy === 'overlap' ? 'publish' : 'cut_over', owner: 'rotation' };
  }
  const leaving = retirements.find((old) => old.phase === 'withdrawing' && !isSuperseded(old, rotation));
  if (leaving !== undefined) return { purpose: 'withdraw', owner: leaving };
  if (isOfferMissing(record)) return { purpose: 'repair', owner: 'server' };
  if (rotation !== null) return null;
  return hasDrifted(record, policy) || (record.server.confirmedAt !== null && servesOther(record, policy))
    ? { purpose: 'repair', owner: 'server' }
    : null;
}

/** True when somebody changed what we had published. */
export function hasDrifted(record: ClientRecord, policy: ClientPolicy): boolean {
  const { server } = record;
  if (server.confirmedAt === null || activeKey(record) === undefined) return false;
  const document = desiredDocument(record, policy);
  return document !== null && readBack(document, server.observed.client) !== null;
}
