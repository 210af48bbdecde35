/** API keys that a new config replaces: a new one that the API refuses does not take the place of one that works. */
import type { Config, DeploymentConfig } from '../config/model.ts';
import { messageOf } from '../errors.ts';
import type { Store } from '../store/store.ts';
import type { Clock } from '../time.ts';
import { ApiError } from '../wacht/api-error.ts';
import { createWachtClient } from '../wacht/client.ts';

/** An API that does not answer says nothing against a key, so nobody waits long for it. In ms. */
const PATIENCE_MS = 10_000;

interface Renewed {
  readonly before: DeploymentConfig;
  readonly after: DeploymentConfig;
}

/** Deployments that both have, with another API key. */
export function renewedKeys(before: Config, after: Config): readonly Renewed[] {
  return after.deployments.flatMap((deployment) => {
    const old = before.deployments.find(({ id }) => id === deployment.id);
    return old === undefined || old.apiKey.equals(deployment.apiKey) ? [] : [{ before: old, after: deployment }];
  });
}

/**
 * Asks the API with each new key, and with the one before where that is refused. Where it takes neither, or does not answer, the new key is as good.
 * @returns what is wrong with new keys, one sentence each
 */
export async function checkRenewedKeys(
  before: Config,
  after: Config,
  tools: { readonly store: Pick<Store, 'spend'>; readonly clock: Clock },
): Promise<readonly string[]> {
  const problems = await Promise.all(
    renewedKeys(before, after).map(async (renewed) => {
      const refused = await whyRefused(renewed.after, tools);
      if (refused === null || (await whyRefused(renewed.before, tools)) !== null) return [];
      return [
        `deployment ${renewed.after.id}: api_key leads to a new key that the API refuses, and it takes the one from before: ${refused}`,
      ];
    }),
  );
  return problems.flat();
}

/** Null: it is not, or nobody can tell. */
async function whyRefused(
  { id, apiUrl, urlStyle, apiKey, route, timeoutMs, rateLimit }: DeploymentConfig,
  { store, clock }: Parameters<typeof checkRenewedKeys>[2],
): Promise<string | null> {
  const asked = { deployment: id, apiUrl, urlStyle, apiKey, ...route, timeoutMs: Math.min(timeoutMs, PATIENCE_MS) };
  const client = createWachtClient({ ...asked, connections: 1, clock });
  try {
    await store.spend(id, rateLimit);
    await client.listApps();
    return null;
  } catch (error) {
    const isRefused =
      error instanceof ApiError && (error.reply.class === 'credential' || error.reply.class === 'forbidden');
    return isRefused ? messageOf(error) : null;
  } finally {
    await client.close();
  }
}
