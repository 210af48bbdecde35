/** Clients that are known under another name: their deployment or app has another one in the config than before. */
import { appPaths } from '../src/config/lookup.ts';
import type { Config } from '../src/config/model.ts';
import { type ClientRef, makeReference, splitReference } from '../src/core/client.ts';
import type { Resources } from '../src/rotation/resources.ts';

type Known = Pick<Resources, 'store' | 'config'>;

/** Apps, as `deployment/slug`, that clients are known of and that the config does not name. */
export async function departedApps({ store, config }: Known): Promise<readonly string[]> {
  const named = appsIn(config);
  return (await store.apps()).filter((app) => !named.has(app));
}

/** Why nothing is begun for a client that {@link knownBefore} knows under another name. */
export function knownAs(ref: ClientRef, old: ClientRef): string {
  return `${ref} is the client that is known as ${old}: its deployment or app has another name in the config than before. Its application reads the key folder of the old name, so its key is not replaced. Put the old name back, or take its keys over under the new one (\`rekeyd keys import --dir KEY_FOLDER\`).`;
}

/** As `deployment/slug`. */
export function appsIn({ deployments }: Config): ReadonlySet<string> {
  return new Set(appPaths({ deployments }));
}

/**
 * Which of these new clients have a key of ours under another name. A row keeps its id and its OAuth `client_id` when its app is renamed. Taken for new, they
 * would be found, and under `adopt: take_over` rotated, while their applications read the folder of the old name.
 *
 * @param departed as {@link departedApps} answers
 * @returns by the new reference, the old one
 */
export async function knownBefore(
  clients: readonly (readonly [ClientRef, { readonly clientId: string }])[],
  departed: readonly string[],
  { store }: Pick<Known, 'store'>,
): Promise<ReadonlyMap<ClientRef, ClientRef>> {
  const known = new Map<ClientRef, ClientRef>();
  for (const place of departed) {
    const [deployment = '', app = ''] = place.split('/');
    const pairs = clients.map(
      ([ref, { clientId }]) => [ref, makeReference(deployment, app, splitReference(ref).id), clientId] as const,
    );
    const held = new Set(await store.withKeys(pairs.map(([, old]) => old)));
    const loaded = await store.loadMany([...held]);
    for (const [ref, old, clientId] of pairs) {
      const record = loaded.get(old)?.record;
      // One that was only offered a key counts, too: its application may have taken it meanwhile.
      if (record?.clientId === clientId && record.keys.length > 0) known.set(ref, old);
    }
  }
  return known;
}
