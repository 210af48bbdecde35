/** A key was found where it must not be: whether anything is to be replaced. */
import { activeKey, type FormerKey, isCompromised, type KeyState } from './keys.ts';
import type { ClientRecord } from './record.ts';

/** What a client has of the key that was found. */
export interface LeakedKey {
  readonly id: string | null;
  readonly kid: string | null;
  readonly state: KeyState | 'destroyed' | 'foreign';
  /** The server showed it when it was last seen. */
  readonly published: boolean;
}

/** The key to be reported as compromised, by the name that the client knows it by; or why nothing is to be done. */
export type LeakVerdict = { readonly replace: string } | { readonly left: string };

/**
 * A replay of a report, or a report of a key that is gone, is no reason to replace the key in use now.
 * @param takeOver also where the application signs with a key of its own
 */
export function leakVerdict(record: ClientRecord, key: LeakedKey, takeOver: boolean): LeakVerdict {
  const { enrolment, rotation, former } = record;
  if (key.state === 'destroyed' && !key.published) return { left: 'it is destroyed already' };
  if (key.state === 'compromised') return { left: 'it was reported before, and is on its way out' };
  const was = former.find(({ id }) => id === key.id);
  if (rotation !== null && rotation.compromised !== null && isReported(was)) {
    return { left: 'it was reported before, and is being replaced' };
  }
  if (key.state === 'foreign' && isReported(was) && !isStillShown(record)) {
    return { left: 'it was reported before, and is not published any more' };
  }
  if (key.state === 'foreign' && enrolment === 'found' && activeKey(record) === undefined && !takeOver) {
    return { left: 'its application signs with a key of its own, and could not sign in any more: ask with take_over' };
  }
  const name = nameOf(record, key);
  return name === null ? { left: 'it has no name by which it could be replaced' } : { replace: name };
}

/** A request cuts blanks off, and takes no longer text. */
const IN_A_REQUEST = /^\S(?:[\s\S]{0,498}\S)?$/u;

/** A foreign key is called by its id where its `kid` would not come through, or means a key of ours. */
function nameOf({ keys }: ClientRecord, { kid, id, state }: LeakedKey): string | null {
  const isClear = kid !== null && IN_A_REQUEST.test(kid) && !keys.some((ours) => ours.kid === kid);
  return state === 'foreign' && !isClear ? id : (kid ?? id);
}

function isReported(key: FormerKey | undefined): boolean {
  return key?.compromised === true;
}

function isStillShown(record: ClientRecord): boolean {
  return record.server.observed.client.keys.some((shown) => isCompromised(record, shown));
}
