/** Which key a rotation that a person has ended comes to rest at. */
import { activate, discardIncoming, endWithout, reverting } from './ending.ts';
import { withKey } from './keys.ts';
import type { Context } from './policy.ts';
import type { ClientRecord } from './record.ts';
import { withRetirements } from './retirement.ts';
import { incomingKid, type Rotation, whyAbandoned } from './rotation.ts';
import type { Transition } from './transition.ts';

/**
 * What the server takes, of a rotation that a person has ended. `old`: the old key was seen to be accepted. Where neither is, or nothing can show it,
 * a rollback restores what stood before: only the rotation still knows that.
 */
export function chosen(
  record: ClientRecord,
  rotation: Rotation,
  takes: 'old' | 'new' | 'neither',
  context: Context,
): Transition {
  const kid = incomingKid(rotation);
  const why = whyAbandoned(rotation);
  if (takes === 'new' && kid !== null) {
    const change = activate(withKey(record, kid, { publishedAt: context.now }), rotation, kid, context);
    const { server, signers } = change.record;
    // Nothing has shown that the old key left the document.
    const unseen = withRetirements(change.record, (old) =>
      old.rotation.id === rotation.id && old.phase === 'withdrawn' ? { ...old, phase: 'withdrawing' } : old,
    );
    // What else the server shows, and what signers hold, is found out, and put right, afterwards.
    return {
      ...change,
      record: {
        ...unseen,
        server: { ...server, confirmedAt: context.now },
        signers: { ...signers, delivered: null },
      },
    };
  }
  if (takes === 'neither' && kid !== null) {
    return { record: reverting(record, rotation, kid, why), entries: [] };
  }
  const left = discardIncoming(record, rotation, 'withdrawing', context.now);
  return endWithout(record, left, rotation, 'rolled_back', why, context.now);
}
