/** Disposable clients that a probe left behind, because it was killed or the API did not answer. They are found by their mark. */
import { makeReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { monotonic } from '../time.ts';
import { ApiError } from '../wacht/api-error.ts';
import { turnForList } from './deployment.ts';
import type { DeploymentResources, Resources } from './resources.ts';

export interface AppPlace {
  readonly deployment: DeploymentResources;
  readonly slug: string;
}

/** The client of a probe of another store is left alone for this long, in ms by the server's clock: that probe may be under way. */
const OTHERS_MS = 60 * 60_000;

/** Disposable clients that no probe works with any more. @returns how many were deactivated. @throws ApiError */
export async function removeLeftovers(
  resources: Pick<Resources, 'store' | 'clock' | 'log'>,
  { deployment, slug }: AppPlace,
  signal?: AbortSignal,
): Promise<number> {
  const { store, clock } = resources;
  const { config, wacht } = deployment;
  await turnForList(resources, deployment, false);
  const startedAt = monotonic();
  const { clients } = await wacht
    .listClients(slug, async (some) => some.filter(({ active, probe }) => active && probe !== undefined), signal)
    .finally(() => store.noteList(config.id, slug, monotonic() - startedAt));
  // The answer has told what time it is there.
  const serverTime = clock.now() + (wacht.clockSkewMs() ?? 0);
  const isLeftover = ({ probe: maker, updatedAt }: ObservedClient) =>
    maker === store.id || serverTime - Date.parse(updatedAt) > OTHERS_MS;
  const left = clients.filter(isLeftover);
  for (const { id } of left) {
    signal?.throwIfAborted();
    await deployment.countCall();
    await wacht.deactivateClient(makeReference(config.id, slug, id)).catch((error: unknown) => {
      // Another store's probe was faster.
      if (!(error instanceof ApiError) || error.reply.status !== 404) throw error;
    });
  }
  return left.length;
}
