/**
 * The newest audit entries of one client. The log has no index by client and may have millions of entries. So only places are read where entries of this
 * client are likely: before its last commit, at the beginning of its latest rotations, and at the end of the log. Others may be missed.
 */
import type { AuditEntry } from '../../core/audit.ts';
import type { ClientRef } from '../../core/client.ts';
import type { Store } from '../../store/store.ts';

/** How many are shown at the most. */
const MOST = 50;

/** How many entries are read before the last commit and at the end of the log; from the beginning of a rotation on; and of how many rotations. */
const BACK = 300;
const BEGINNING = 100;
const ROTATIONS = 5;

type Log = Pick<Store, 'auditAfter' | 'auditSize' | 'lastSeq' | 'rotationPlace'>;

/** @param rotations their ids, the newest first. @returns the newest first */
export async function entriesOf(
  store: Log,
  ref: ClientRef,
  rotations: readonly string[],
): Promise<readonly AuditEntry[]> {
  const [size, last, ...places] = await Promise.all([
    store.auditSize(),
    store.lastSeq(ref),
    ...rotations.slice(0, ROTATIONS).map((id) => store.rotationPlace(id)),
  ]);
  const begins = places.flatMap((place) => (place === null ? [] : [place.firstSeq]));
  const looks = [
    store.auditAfter(Math.max(0, size - BACK), BACK),
    store.auditAfter(Math.max(0, (last ?? 0) - BACK), BACK),
    ...begins.map((seq) => store.auditAfter(seq - 1, BEGINNING)),
  ];
  const found = (await Promise.all(looks)).flat().filter(({ client }) => client === ref);
  const once = new Map(found.map((entry) => [entry.seq, entry]));
  return [...once.values()].sort((a, b) => b.seq - a.seq).slice(0, MOST);
}
