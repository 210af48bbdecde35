/** What every figure is measured on: Redis, the local Wacht, the bare loops and the workers, each in a process of its own. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openQueues, type Queues } from '../../jobs/queues.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Resources } from '../../src/rotation/resources.ts';
import { createLog } from '../../src/runtime/log.ts';
import { openResources } from '../../src/runtime/resources.ts';
import { systemClock } from '../../src/time.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import type { BareApiOrder } from './bare-api.ts';
import { type Child, startChild } from './child.ts';
import type { ServerOrder, ServerReady } from './server-child.ts';
import { inTemporaryFolder, type Later } from './temporary.ts';
import type { WorkerOrder } from './worker-child.ts';

const DEPLOYMENT = '185019846023';
const API_KEY = 'bench-api-key';
export const APP = 'app-0';

export interface Setting {
  readonly appendfsync: 'everysec' | 'always';
  readonly strategy: 'overlap' | 'cutover';
  readonly clients: number;
  /** The clients are spread over that many apps: `app-0`, `app-1`, … Default 1. */
  readonly apps?: number;
  /** Rotation jobs at once in one worker. */
  readonly concurrency: number;
  readonly alg?: 'ES256' | 'RS256';
  /** Of every call to the API, from the start. */
  readonly latencyMs?: number;
  readonly reconcileEvery?: string;
  /** The key folder is held in memory, as a secrets volume often is: what is then missing is the disk's part. */
  readonly sinkInMemory?: boolean;
}

/** On Linux a file system without a disk. */
const MEMORY = '/dev/shm';

export interface Stage {
  readonly redis: RedisServer;
  readonly server: Child<ServerReady>;
  readonly bare: Child;
  /** The benchmark's own connections, beside those of the workers. */
  readonly resources: Resources;
  readonly queues: Queues;
  /** Row ids of the clients of {@link APP}. */
  readonly clients: readonly string[];
  /** @param whole with ticks and HTTP */
  startWorker(whole?: boolean): Promise<Child>;
}

/** Gives `use` a stage of its own, and leaves nothing of it behind. */
export async function onStage<T>(setting: Setting, use: (stage: Stage) => Promise<T>): Promise<T> {
  return inTemporaryFolder(async (dir, later) => use(await build(setting, dir, later)));
}

async function build(setting: Setting, dir: string, later: Later): Promise<Stage> {
  const redis = await startRedis({ appendfsync: setting.appendfsync });
  later('redis', () => redis.stop());
  const slugs = Array.from({ length: setting.apps ?? 1 }, (_, index) => `app-${index}`);
  const server = await startChild<ServerReady>('server', {
    deployment: DEPLOYMENT,
    apiKey: API_KEY,
    selection: setting.strategy === 'overlap' ? 'jwks_kid' : 'first_pem',
    alg: setting.alg ?? 'ES256',
    apps: Object.fromEntries(slugs.map((slug) => [slug, Math.ceil(setting.clients / slugs.length)])),
  } satisfies ServerOrder);
  later('server', () => server.stop());
  await server.ask('latency', setting.latencyMs ?? 0);
  const { url, clients } = server.ready;
  const api: BareApiOrder = { url, deployment: DEPLOYMENT, app: APP, apiKey: API_KEY };
  const bare = await startChild('bare', api);
  later('bare loops', () => bare.stop());

  const env = { KEK: Buffer.alloc(32, 7).toString('base64url'), API_KEY };
  const file = join(dir, 'rekeyd.yaml');
  const keys = setting.sinkInMemory ? await mkdtemp(join(MEMORY, 'rekeyd-bench-')) : join(dir, 'keys');
  later('key folder', () => rm(keys, { recursive: true, force: true }));
  await writeFile(
    file,
    JSON.stringify({ ...configFile(setting, slugs, url, redis), sinks: [{ kind: 'directory', path: keys }] }),
  );
  const config = await loadConfig(file, env);
  const resources = await openResources(config, { log: createLog({ level: 'warn' }), clock: systemClock });
  later('resources', () => resources.close());
  const queues = openQueues(resources.redis, [DEPLOYMENT], (error) => console.error(String(error)));
  later('queues', () => queues.close());

  return {
    redis,
    server,
    bare,
    resources,
    queues,
    clients: clients[APP] ?? [],
    async startWorker(whole = false) {
      const worker = await startChild('worker', { config: file, env, whole } satisfies WorkerOrder);
      later('worker', () => worker.stop());
      return worker;
    },
  };
}

/** Zero delays, and a rate limit that never limits. JSON is YAML too. */
function configFile(setting: Setting, slugs: readonly string[], url: string, redis: RedisServer): object {
  return {
    data_dir: './data',
    redis: { url: `unix://${redis.socketPath}` },
    encryption: { keks: [{ id: 'bench', key: 'env:KEK' }] },
    http: { listen: '127.0.0.1:0' },
    reconcile_every: setting.reconcileEvery ?? '1d',
    deployments: [
      {
        id: DEPLOYMENT,
        api_url: url,
        api_key: 'env:API_KEY',
        rate_limit: { max: 1_000_000, per: '1s' },
        concurrency: setting.concurrency,
        apps: slugs.map((slug) => ({
          slug,
          issuer: `https://${slug}.example.com`,
          resolve: { [`${slug}.example.com`]: url },
        })),
      },
    ],
    policies: {
      default: {
        schedule: '0 0 1 1 *',
        alg: setting.alg ?? 'ES256',
        modulus_length: 2048,
        strategy: setting.strategy,
        // The keys that the fleet begins with belong to nobody: the first rotation lets them go.
        foreign_keys: 'retire',
        propagation: '0s',
        overlap: '0s',
      },
    },
  };
}
