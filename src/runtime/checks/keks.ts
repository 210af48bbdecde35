/** Whether the KEKs of a config open what is sealed in the store. */
import { decodeProtectedHeader } from 'jose';
import type { ClientRef } from '../../core/client.ts';
import { hasCode, messageOf } from '../../errors.ts';
import type { Kek } from '../../keys/kek.ts';
import { openKey } from '../../keys/sealed.ts';
import { pagesOf } from '../../parallel.ts';
import type { Store } from '../../store/store.ts';
import { advice, type Check, fine, wrong } from './check.ts';

type Sealed = Pick<Store, 'clientRefs' | 'loadMany' | 'sealedHalves'>;

/** Keys of one KEK that are decrypted to see that its value is the right one. */
const OPENED = 5;

/** Clients that a start looks at, spread over the fleet. */
export const SAMPLED = 100;

/** What was seen of one KEK. */
interface Seen {
  sealed: number;
  opened: number;
  /** Of those that were tried, by message. */
  readonly failed: string[];
  /** Why its KMS opens nothing now; null while it does, or was not asked. */
  unavailable: string | null;
  /** A client with such a key, and its thumbprint. */
  readonly example: readonly [ref: ClientRef, thumbprint: string];
}

/**
 * The check `keks`, and one more when keys are damaged that others of their KEK are not.
 * @param most of the clients to look at; all of them when absent
 */
export async function checkKeks(
  keks: readonly Kek[],
  store: Sealed,
  most = Number.POSITIVE_INFINITY,
): Promise<readonly Check[]> {
  const seen = new Map<string, Seen>();
  for (const page of pagesOf(spread(await store.clientRefs(), most))) {
    for (const ref of page) await look(ref, keks, store, seen);
  }
  const problems = [...seen].flatMap(([id, found]) => problemOf(id, found, keks) ?? []);
  if (problems.length > 0) {
    const fix =
      'Put the missing KEK back under encryption.keks, or its own value under its id. Keys that are sealed under it cannot be used without it.';
    return [wrong('keks', problems.join('; '), fix)];
  }
  const sum = (count: (found: Seen) => number) => [...seen.values()].reduce((total, found) => total + count(found), 0);
  const detail = `${sum(({ sealed }) => sealed)} sealed keys, ${sum(({ opened }) => opened)} of them opened to see`;
  const old = sum(({ sealed }) => sealed) - (seen.get(keks[0]?.id ?? '')?.sealed ?? 0);
  const oldDetail = `${detail}; ${old} under an old KEK`;
  const check =
    old === 0
      ? fine('keks', detail)
      : advice('keks', oldDetail, 'Run `rekeyd keys rewrap` before the old KEK is removed.');
  const damaged = [...seen.values()].flatMap(({ failed }) => failed);
  if (damaged.length === 0) return [check];
  const fix = 'Find out what changed the store. `rekeyd rotate CLIENT --compromised` gives a client another key.';
  return [check, wrong('sealed keys', damaged.slice(0, 10).join('; '), fix)];
}

/** For each of these KEKs that is still needed: the first client that is found with a key under it. */
export async function clientsSealedUnder(
  ids: readonly string[],
  store: Pick<Store, 'clientRefs' | 'sealedHalves'>,
): Promise<ReadonlyMap<string, ClientRef>> {
  const found = new Map<string, ClientRef>();
  if (ids.length === 0) return found;
  for (const page of pagesOf(await store.clientRefs())) {
    await Promise.all(
      page.map(async (ref) => {
        for (const jwe of (await store.sealedHalves(ref)).values()) {
          const id = kekOf(jwe);
          if (ids.includes(id) && !found.has(id)) found.set(id, ref);
        }
      }),
    );
    if (found.size === new Set(ids).size) break;
  }
  return found;
}

async function look(ref: ClientRef, keks: readonly Kek[], store: Sealed, seen: Map<string, Seen>): Promise<void> {
  const halves = await store.sealedHalves(ref);
  if (halves.size === 0) return;
  const record = (await store.loadMany([ref])).get(ref)?.record;
  for (const [thumbprint, jwe] of halves) {
    const id = kekOf(jwe);
    const found = seen.get(id) ?? { sealed: 0, opened: 0, failed: [], unavailable: null, example: [ref, thumbprint] };
    seen.set(id, found);
    found.sealed += 1;
    const key = record?.keys.find((one) => one.thumbprint === thumbprint);
    if (
      key === undefined ||
      found.unavailable !== null ||
      found.opened + found.failed.length >= OPENED ||
      !keks.some((kek) => kek.id === id)
    )
      continue;
    try {
      await openKey(jwe, { ref, thumbprint, alg: key.alg }, keks);
      found.opened += 1;
    } catch (error) {
      if (hasCode(error, 'kms_unavailable')) found.unavailable = error.message;
      else found.failed.push(messageOf(error));
    }
  }
}

/** Null when the KEK is there and opens something: a key that it does not open is another matter. */
function problemOf(
  id: string,
  { opened, failed, unavailable, example: [ref, thumbprint] }: Seen,
  keks: readonly Kek[],
): string | null {
  if (!keks.some((kek) => kek.id === id)) {
    return `key ${thumbprint} of ${ref} is sealed under the KEK ${JSON.stringify(id)}, which is not configured`;
  }
  // Its own check tells that.
  if (unavailable !== null || opened > 0 || failed.length === 0) return null;
  return `the KEK ${JSON.stringify(id)} opens none of the keys that are sealed under it, such as ${thumbprint} of ${ref}: its value is not the one that they were sealed with`;
}

/** The id of the KEK that a key is sealed under. */
export function kekOf(jwe: string): string {
  try {
    return String(decodeProtectedHeader(jwe).kid).slice(0, 128);
  } catch {
    return ''; // damaged: `openKey` says so
  }
}

/** Up to `most` items, at equal distances. */
function spread<T>(items: readonly T[], most: number): readonly T[] {
  if (items.length <= most) return items;
  const step = items.length / most;
  return Array.from({ length: most }, (_, index) => items[Math.floor(index * step)]).filter(
    (item) => item !== undefined,
  );
}
