/** A look at the store and the API that leaves no trace. (Opening all parts gives a new store its id and notes what it holds.) */
import { policyFor } from '../config/lookup.ts';
import type { Config, PolicyConfig } from '../config/model.ts';
import type { ClientRef } from '../core/client.ts';
import { type AppFacts, NOTHING_KNOWN } from '../core/findings.ts';
import type { ClientPolicy } from '../core/policy.ts';
import { publishFolder } from '../publish/folder.ts';
import { clientPolicy } from '../rotation/policy.ts';
import { divertConsole } from '../runtime/console.ts';
import { createReleases } from '../runtime/lifecycle.ts';
import { openLog } from '../runtime/log.ts';
import { redisTarget } from '../runtime/redis-target.ts';
import { lost, readFacts, readMarker, whereNow, whyLost } from '../store/identity.ts';
import { type StoreKeys, storeKeys } from '../store/keys.ts';
import { connectRedis } from '../store/redis/connection.ts';
import { openStore } from '../store/store.ts';
import { systemClock } from '../time.ts';
import { createWachtClient, type WachtClient } from '../wacht/client.ts';
import { note } from './output.ts';

/** A reader needs no write confirmed on disk, and reads any store that it finds. */
async function readOnly(
  redis: Parameters<typeof openStore>[0],
  keys: StoreKeys,
): Promise<Parameters<typeof openStore>[1]> {
  const { id } = await readFacts(redis, keys);
  return {
    keys,
    expected: { id: id ?? '', size: 0 },
    durability: { kind: 'none', requirements: [], confirmation: null },
    ready: async () => {},
    refused: async (error) => {
      throw error;
    },
    doubt: async () => false,
    confirmed: () => {},
  };
}

/** @throws RekeydError `redis_unreachable` */
export async function viewStore(config: Config) {
  const releases = createReleases((name, message) => note(`${name}: ${message}`));
  try {
    const log = await openLog('warn');
    releases.add('console', divertConsole(log));
    const target = await redisTarget(config, releases.add);
    const redis = await connectRedis(target, { name: 'rekeyd-view', log });
    releases.add('redis', () => redis.disconnect());
    const store = openStore(redis, await readOnly(redis, storeKeys(config.namespace)));
    releases.add('store', () => store.close());
    return { config, target, redis, store, close: releases.release };
  } catch (error) {
    await releases.release();
    throw error;
  }
}

export type StoreView = Awaited<ReturnType<typeof viewStore>>;

/** Over a store that was lost, a plan would tell that every client is new, and `drift` that none has drifted. @throws RekeydError `store_lost` */
export async function expectPresent({ dataDir }: Config, { redis, store }: StoreView): Promise<void> {
  const marker = await readMarker(dataDir);
  const facts = await readFacts(redis, store.keys);
  const why = whyLost(marker, facts);
  if (marker !== null && why !== null) throw lost(marker, why, store.keys, await whereNow(redis, marker, facts));
}

export interface ApiView {
  readonly clients: ReadonlyMap<string, WachtClient>;
  close(): Promise<void>;
}

/** @throws RekeydError `config` when an API key cannot stand in a header */
export function viewApis(config: Config): ApiView {
  const clients = new Map(
    config.deployments.map(({ id, apiUrl, urlStyle, apiKey, timeoutMs, route }) => {
      const options = {
        deployment: id,
        apiUrl,
        urlStyle,
        apiKey,
        timeoutMs,
        ...route,
        connections: 4,
        clock: systemClock,
      };
      return [id, createWachtClient(options)];
    }),
  );
  return {
    clients,
    async close() {
      for (const client of clients.values()) await client.close();
    },
  };
}

/** The policy as it applies to one client, and its name; null when the config does not take care of that client. */
export function policyOf(
  config: Config,
  ref: ClientRef,
  facts: AppFacts = NOTHING_KNOWN,
): { name: string; policy: ClientPolicy & PolicyConfig } | null {
  const name = policyFor(config, ref)?.name;
  const folder = config.publish === null ? null : publishFolder(config.publish);
  const policy = clientPolicy({ config, folder, facts: { of: () => facts } }, ref);
  return name === undefined || policy === null ? null : { name, policy };
}
