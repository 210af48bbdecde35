/** What those who sign hold. */
import { activeKey } from './keys.ts';
import type { ClientRecord } from './record.ts';
import { isSuperseded, isWithSigners } from './retirement.ts';
import { incomingKid } from './rotation.ts';
import type { Tries } from './tries.ts';

/** Which kid a signer finds under which name. */
export interface Delivery {
  readonly current: string | null;
  readonly next: string | null;
  readonly previous: string | null;
}

export interface Signers {
  /** What the sinks were last given; null when that is not known. */
  readonly delivered: Delivery | null;
  /** What signers said when somebody last had to know; absent: nobody had to yet. */
  readonly reported?: Reported;
  /** Of deliveries that no rotation waits for. */
  readonly tries: Tries;
}

/** What one process that signs says of itself. It is not trusted: any process that can write to the client's folder of reports can say anything. */
export interface SignerReport {
  /** `<host>-<pid>` */
  readonly name: string;
  readonly kids: readonly string[];
  /** The key that it signs with now; null when it has none. */
  readonly signing: string | null;
  /** By the clock of its machine, ms since the Unix epoch. */
  readonly at: number;
}

export interface Reported {
  /** When the reports were read, ms since the Unix epoch. */
  readonly at: number;
  /** Those that counted then: recent, and about keys of this client. */
  readonly signers: readonly SignerReport[];
  /** Why they could not be read. `signers` are then those from before. */
  readonly error: string | null;
}

export const NOTHING_DELIVERED: Delivery = { current: null, next: null, previous: null };

/**
 * Signers flip when the new key is proven, and not before. A rotation away from A may throw its key B away and make C, because the server refused B or B
 * leaked. Until C is published the server may take B alone, so signers keep B as `previous`.
 */
export function desiredDelivery(record: ClientRecord): Delivery {
  const { rotation, retirements } = record;
  const active = activeKey(record)?.kid ?? null;
  const incoming = incomingKid(rotation);
  const previous = retirements.findLast((old) => isSuperseded(old, rotation) || isWithSigners(old))?.kid ?? null;
  if (rotation?.phase.name === 'proven' || rotation?.phase.name === 'offered') {
    return { current: incoming, next: null, previous: active ?? previous };
  }
  return { current: active, next: incoming ?? keptReady(record), previous };
}

/** The standby key, unless it is given up. */
function keptReady({ standby }: ClientRecord): string | null {
  return standby === undefined || standby.leaving !== null ? null : standby.kid;
}

/**
 * Keys of a delivery that signers go without when their private halves cannot be opened. A `previous` key signs no more. The one in use is given up only
 * for a compromise, which is there to replace it, and not before its successor is delivered with it.
 */
export function dispensable({ rotation }: ClientRecord, { current, next, previous }: Delivery): readonly string[] {
  const isReplacing = rotation?.compromised != null && next !== null;
  return [isReplacing ? current : null, previous].filter((kid) => kid !== null);
}

export function sameDelivery(a: Delivery | null, b: Delivery): boolean {
  return a !== null && a.current === b.current && a.next === b.next && a.previous === b.previous;
}
