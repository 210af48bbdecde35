/** The last part of a reference is the row's id in the API. People who write the OAuth `client_id` there are told which one to write. */
import { type ClientRef, misnamed, splitReference } from '../core/client.ts';
import type { Store } from '../store/store.ts';

/** Clients that are looked at together. */
const PAGE = 250;

/** For a reference that no known client has: what to say when a client has its last part as its OAuth `client_id`; else null. */
export async function knownOtherwise(
  store: Pick<Store, 'appRefs' | 'loadMany'>,
  ref: ClientRef,
): Promise<string | null> {
  const { deployment, app } = splitReference(ref);
  let last: ClientRef | null = null;
  do {
    const page: readonly ClientRef[] = await store.appRefs(`${deployment}/${app}`, PAGE, last);
    last = page.at(-1) ?? null;
    const loaded = await store.loadMany(page);
    const hint = misnamed(
      ref,
      [...loaded].map(([other, { record }]) => [other, record.clientId]),
    );
    if (hint !== null) return hint;
  } while (last !== null);
  return null;
}
