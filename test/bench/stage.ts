/** What every figure is measured on: Redis, the local Wacht, the bare loops and the workers, each in a process of its own. */
import { writeFile } from 'node:fs/promises';
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
import type { EffectsOrder } from './effects-child.ts';
import type { ServerOrder, ServerReady } from './server-child.ts';
import { inTemporaryFolder, type Later } from './temporary.ts';
import type { WorkerOrder, WorkerReady } from './worker-child.ts';

const DEPLOYMENT = '185019846023';
const API_KEY = 'bench-api-key';
export const APP = 'app-0';
/** Its clients are the bare loops' own: rekeyd would take their keys in its clients for somebody's edits. */
const BARE_APP = 'bare';

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
  /** Each client has a key that is kept ready. */
  readonly standby?: true;
  /** Of RSA keys, in bits; 2048 when absent. */
  readonly modulus?: number;
  /** How long the old key stays; `0s` when absent. */
  readonly overlap?: string;
}

export interface Stage {
  readonly redis: RedisServer;
  readonly server: Child<ServerReady>;
  readonly bare: Child;
  /** The benchmark's own connections, beside those of the workers. */
  readonly resources: Resources;
  readonly queues: Queues;
  /** Slugs of the apps that rekeyd knows. */
  readonly apps: readonly string[];
  /** Row ids of the clients of {@link APP}. */
  readonly clients: readonly string[];
  /** As many, for the bare loops. */
  readonly bareClients: readonly string[];
  /** The config file that workers and commands are given, and the environment that it names. */
  readonly config: string;
  readonly env: Readonly<Record<string, string>>;
  /** For {@link Stage.bareClients}, in a key folder of its own on the same disk. */
  startEffects(): Promise<Child>;
  /** @param whole with ticks and HTTP */
  startWorker(whole?: boolean): Promise<Child>;
  /** A process that answers over HTTP, and rotates nothing. */
  startApi(): Promise<Child<WorkerReady>>;
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
    apps: Object.fromEntries([...slugs, BARE_APP].map((slug) => [slug, Math.ceil(setting.clients / slugs.length)])),
  } satisfies ServerOrder);
  later('server', () => server.stop());
  await server.ask('latency', setting.latencyMs ?? 0);
  const { url, clients } = server.ready;
  const api: BareApiOrder = { url, deployment: DEPLOYMENT, app: BARE_APP, apiKey: API_KEY };
  const bare = await startChild('bare', api);
  later('bare loops', () => bare.stop());

  const env = { KEK: Buffer.alloc(32, 7).toString('base64url'), API_KEY };
  const config = join(dir, 'rekeyd.yaml');
  await writeFile(config, JSON.stringify(configFile(setting, slugs, url, redis)));
  const resources = await openResources(await loadConfig(config, env), {
    log: createLog({ level: 'warn' }),
    clock: systemClock,
  });
  later('resources', () => resources.close());
  const queues = openQueues(resources, [DEPLOYMENT], (error) => console.error(String(error)));
  later('queues', () => queues.close());

  return {
    redis,
    server,
    bare,
    resources,
    queues,
    apps: slugs,
    clients: clients[APP] ?? [],
    bareClients: clients[BARE_APP] ?? [],
    config,
    env,
    async startEffects() {
      const { socketPath } = redis;
      const order: EffectsOrder = { ...api, issuer: issuerOf(BARE_APP), socketPath, folder: join(dir, 'effects-keys') };
      const effects = await startChild('effects', order);
      later('effects', () => effects.stop());
      return effects;
    },
    async startWorker(whole = false) {
      const worker = await startChild('worker', { config, env, whole } satisfies WorkerOrder);
      later('worker', () => worker.stop());
      return worker;
    },
    async startApi() {
      const order: WorkerOrder = { config, env, whole: false, isApi: true };
      const api = await startChild<WorkerReady>('worker', order);
      later('api', () => api.stop());
      return api;
    },
  };
}

/** As the local Wacht names the domains of its apps. */
function issuerOf(slug: string): string {
  return `https://${slug}.example.com`;
}

/** Zero delays, and a rate limit that never limits. JSON is YAML too. */
function configFile(setting: Setting, slugs: readonly string[], url: string, redis: RedisServer): object {
  return {
    data_dir: './data',
    redis: { url: `unix://${redis.socketPath}` },
    encryption: { keks: [{ id: 'bench', key: 'env:KEK' }] },
    http: { listen: '127.0.0.1:0', rate_limit: { max: 10_000, per: '1s' } },
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
          issuer: issuerOf(slug),
          resolve: { [new URL(issuerOf(slug)).host]: url },
        })),
      },
    ],
    policies: {
      default: {
        schedule: '0 0 1 1 *',
        alg: setting.alg ?? 'ES256',
        modulus_length: setting.modulus ?? 2048,
        strategy: setting.strategy,
        // The fleet begins with foreign keys: the first rotation retires them.
        foreign_keys: 'retire',
        propagation: '0s',
        overlap: setting.overlap ?? '0s',
        standby: setting.standby ?? false,
        // What is measured is a whole fleet.
        cohort: 'off',
      },
    },
    sinks: [{ kind: 'directory', path: './keys' }],
  };
}
