/** Clients that somebody names and nobody knows. A worker says so; where none is connected, the command finds it out itself. */
import { policyFor } from '../config/lookup.ts';
import type { Config } from '../config/model.ts';
import { type ClientRef, makeReference, misnamed, notListed, splitReference, unconfigured } from '../core/client.ts';
import { turnForList } from '../rotation/deployment.ts';
import { appOf } from '../rotation/facts.ts';
import type { Resources } from '../rotation/resources.ts';
import { ApiError } from '../wacht/api-error.ts';

export interface Unknown {
  readonly client: ClientRef;
  readonly message: string;
}

/** Those that the config of this command does not name: the same stands in that of the workers. */
export function withoutPolicy(refs: readonly ClientRef[], config: Config): readonly Unknown[] {
  const without = refs.filter((ref) => policyFor(config, ref) === null);
  return without.map((client) => ({ client, message: unconfigured(client) }));
}

/** Those of which that is certain: an API that cannot be read leaves it open. */
export async function unknownAmong(refs: readonly ClientRef[], resources: Resources): Promise<readonly Unknown[]> {
  const { config, store } = resources;
  const known = await store.loadMany(refs);
  const unknown = [...withoutPolicy(refs, config)];
  const asked = new Map<string, ClientRef[]>();
  for (const ref of refs) {
    if (policyFor(config, ref) === null || known.has(ref)) continue;
    asked.set(appOf(ref), [...(asked.get(appOf(ref)) ?? []), ref]);
  }
  for (const wanted of asked.values()) unknown.push(...(await missingFromLists(wanted, resources)));
  return unknown;
}

/** @param refs of one app, at least one */
async function missingFromLists(refs: readonly ClientRef[], resources: Resources): Promise<readonly Unknown[]> {
  const [first] = refs;
  if (first === undefined) return [];
  const { deployment, app } = splitReference(first);
  const found = resources.deployments.get(deployment);
  if (found === undefined) return [];
  const ids = new Map<ClientRef, string>();
  const wanted = new Set(refs.map((ref) => splitReference(ref).id));
  try {
    await turnForList(resources, found, false);
    await found.wacht.listClients(app, async (clients) => {
      const meant = clients.filter(({ id, clientId }) => wanted.has(id) || wanted.has(clientId));
      for (const { id, clientId } of meant) ids.set(makeReference(deployment, app, id), clientId);
      return [];
    });
  } catch (error) {
    if (error instanceof ApiError) return [];
    throw error;
  }
  const missing = refs.filter((ref) => !ids.has(ref));
  return missing.map((client) => ({ client, message: misnamed(client, ids) ?? notListed(client) }));
}
