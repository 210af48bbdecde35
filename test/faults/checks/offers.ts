/**
 * `adopt: overlap`: a key of ours may stand beside those of a client that signs with its own. Theirs come first, with all of their members; and ours takes over
 * only when its application, or a person, takes it.
 */
import type { LogEntry } from '../../emulator/log.ts';
import type { StoredRecord } from '../evidence/evidence.ts';
import type { FaultClient } from '../stage/fleet.ts';
import { initialOf, keysIn, sameMembers, thumbprintOf } from './keys.ts';

export function mayBeOffered({ enrolment, app }: FaultClient): boolean {
  return enrolment === 'found' && app.policy.adopt === 'overlap';
}

/** Why a PATCH is more than an offer; null when it is one, or takes one back. */
export function whyNoOffer({ body }: LogEntry, client: FaultClient): string | null {
  const [first] = keysIn(body);
  if (first === undefined) return 'without any key';
  if (thumbprintOf(first) !== initialOf(client)) return 'in which its own key does not come first';
  const { kid, alg, jwk } = client.initial;
  const { public_key_pem: _, ...sent } = first;
  return sameMembers(sent, { ...jwk, kid, alg, use: 'sig' }) ? null : 'that changes its own key';
}

/** A rotation that only offers. */
export function isOffer({ enrolment, rotation }: StoredRecord): boolean {
  return enrolment === 'found' && rotation?.adopting === true;
}
