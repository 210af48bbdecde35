/** One world to break: Redis behind a proxy, a local Wacht, a fleet, workers, and eyes on all of them. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { openQueues, type Queues } from '../../jobs/queues.ts';
import { loadConfig } from '../../src/config.ts';
import { createReleases } from '../../src/lifecycle.ts';
import { createLog } from '../../src/log.ts';
import { openParts } from '../../src/parts.ts';
import { systemClock } from '../../src/time.ts';
import { type Emulator, startEmulator } from '../emulator/server.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { RETRY_AFTER_S } from './chaos.ts';
import { type Disk, watchDisk } from './disk.ts';
import { API_KEY, buildFleet, configFile, DEPLOYMENT, ENVIRONMENT, type FaultClient, KEYS_HOST } from './fleet.ts';
import { type History, openHistory } from './history.ts';
import { type FaultyProxy, startProxy } from './proxy.ts';
import { type Watch, watchStore } from './watch.ts';

export interface Stage {
  readonly dir: string;
  /** The config file of the workers. */
  readonly config: string;
  readonly redis: RedisServer;
  readonly disk: Disk;
  readonly proxy: FaultyProxy;
  readonly watch: Watch;
  readonly emulator: Emulator;
  readonly history: History;
  readonly clients: readonly FaultClient[];
  /** These two go around the proxy. */
  readonly raw: Redis;
  readonly queues: Queues;
  readonly publicFolder: string;
  later(name: string, release: () => unknown): void;
}

/** @param use answers whether the folder with the history is worth keeping */
export async function onStage<T>(
  everysec: boolean,
  use: (stage: Stage) => Promise<{ result: T; keep: boolean }>,
): Promise<T> {
  const releases = createReleases((name, message) => console.error(`${name}: ${message}`));
  let keep = false;
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-faults-'));
  releases.add('folder', () => (keep ? undefined : rm(dir, { recursive: true, force: true })));
  try {
    const used = await use(await build(dir, everysec, releases.add));
    keep = used.keep;
    return used.result;
  } finally {
    await releases.release();
  }
}

async function build(dir: string, everysec: boolean, later: Stage['later']): Promise<Stage> {
  const history = openHistory(join(dir, 'history.jsonl'));
  later('history', () => history.close());
  const redis = await startRedis({ appendfsync: everysec ? 'everysec' : 'always' });
  later('redis', () => redis.stop());
  const publicFolder = join(dir, 'public');
  const emulator = await startEmulator({
    resolve: { [KEYS_HOST]: await serveFolder(publicFolder, later) },
    onAnswered({ api, status, client }) {
      if (api !== 'management' || status !== 429) return;
      const until = Date.now() + RETRY_AFTER_S * 1000;
      history.note({ kind: 'throttled', deployment: DEPLOYMENT, client, until });
    },
  });
  later('emulator', () => emulator.close());
  emulator.setApiKey(DEPLOYMENT, API_KEY);

  const direct = join(dir, 'direct.yaml');
  await writeFile(direct, JSON.stringify(configFile(dir, `unix://${redis.socketPath}`, emulator.url)));
  const watch = watchStore(redis.socketPath, history);
  later('watch', () => watch.close());
  const disk = watchDisk(redis, everysec);
  later('disk', () => disk.close());
  const parts = await openParts(await loadConfig(direct, ENVIRONMENT), {
    log: createLog({ level: 'warn' }),
    clock: systemClock,
  });
  const clients = await buildFleet(dir, emulator, parts).finally(() => parts.close());

  const raw = new Redis({ path: redis.socketPath, maxRetriesPerRequest: null, retryStrategy: () => 50 });
  raw.on('error', () => {});
  later('raw connection', () => raw.disconnect());
  if (everysec) await raw.call('WAITAOF', 1, 0, 10_000);
  disk.confirmed();
  await watch.attach();
  const proxy = await startProxy(Number(new URL(redis.url).port), disk.confirmed);
  later('proxy', () => proxy.close());
  const queues = openQueues({ socketPath: redis.socketPath }, [DEPLOYMENT], () => {});
  later('queues', () => queues.close());
  const config = join(dir, 'rekeyd.yaml');
  await writeFile(config, JSON.stringify(configFile(dir, proxy.url, emulator.url)));
  return { dir, config, redis, disk, proxy, watch, emulator, history, clients, raw, queues, publicFolder, later };
}

/** A web server for the public sets. */
async function serveFolder(folder: string, later: Stage['later']): Promise<string> {
  const web = createServer(async ({ url = '' }, response) => {
    const set = await readFile(join(folder, decodeURIComponent(url))).catch(() => null);
    response.writeHead(set === null ? 404 : 200, { connection: 'close' }).end(set ?? '');
  });
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  later('web server', () => web.close());
  const { port } = web.address() as AddressInfo; // a TCP server that listens has one
  return `http://127.0.0.1:${port}`;
}
