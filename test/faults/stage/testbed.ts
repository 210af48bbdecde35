/** What every scenario has: a local Wacht, a fleet whose keys rekeyd holds, a store somewhere, and eyes on all of them. */
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { openQueues, type Queues } from '../../../jobs/queues.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { createLog } from '../../../src/runtime/log.ts';
import { openResources } from '../../../src/runtime/resources.ts';
import { storeKeys } from '../../../src/store/keys.ts';
import type { RedisTarget } from '../../../src/store/redis/target.ts';
import { systemClock } from '../../../src/time.ts';
import { type Emulator, startEmulator } from '../../emulator/server.ts';
import { type History, openHistory } from '../evidence/history.ts';
import { type Watch, watchStore } from '../evidence/watch.ts';
import type { FleetSetting } from './apps.ts';
import { API_KEY, buildFleet, configFile, DEPLOYMENT, ENVIRONMENT, type FaultClient, KEYS_HOST } from './fleet.ts';

/** Seconds that a throttled caller is told to wait. */
export const RETRY_AFTER_S = 2;

export interface Testbed {
  readonly dir: string;
  /** The config files of the workers: one for each machine. Those of one machine share their `data_dir`. */
  readonly configs: readonly string[];
  /** The config for commands on the first machine. It leads to the store directly. */
  readonly direct: string;
  readonly watch: Watch;
  readonly emulator: Emulator;
  readonly history: History;
  /** Grows when somebody registers one. */
  readonly clients: FaultClient[];
  /** These two connect directly: no fault of the scenario hits them. */
  readonly raw: Redis;
  readonly queues: Queues;
  readonly publicFolder: string;
  later(name: string, release: () => unknown): void;
}

export interface Place {
  readonly seed: number;
  readonly dir: string;
  later(name: string, release: () => unknown): void;
}

/** Options of a connection that is there again whenever the server is. */
export interface Patience {
  readonly maxRetriesPerRequest: null;
  readonly retryStrategy: () => number;
}

/** Where the store is, for each of those who look at it. */
export interface Backing {
  /** The section `redis` of a config that goes there directly. */
  readonly section: object;
  readonly target: RedisTarget;
  connect(options: Patience): Redis;
  /** The server that is read along with. */
  readonly socketPath: string;
  /** The section for the workers, once the fleet's keys are stored. */
  open(): Promise<object>;
}

/** Workers are on one machine, or each on its own. */
const MOST_MACHINES = 3;

export async function buildTestbed({ dir, later }: Place, fleet: FleetSetting, backing: Backing): Promise<Testbed> {
  const history = openHistory(join(dir, 'history.jsonl'));
  later('history', () => history.close());
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

  async function configFor(name: string, dataDir: string, section: object, port?: number): Promise<string> {
    const file = join(dir, `${name}.yaml`);
    await writeFile(file, JSON.stringify(configFile({ dir, dataDir, port }, section, emulator.url, fleet)));
    return file;
  }

  const direct = await configFor('direct', 'machine-1', backing.section);
  const watch = watchStore(backing.socketPath, history);
  later('watch', () => watch.close());
  const config = await loadConfig(direct, ENVIRONMENT);
  const resources = await openResources(config, {
    log: createLog({ level: 'warn' }),
    clock: systemClock,
  });
  const clients = await buildFleet(dir, emulator, resources, fleet).finally(() => resources.close());

  const raw = backing.connect({ maxRetriesPerRequest: null, retryStrategy: () => 50 });
  raw.on('error', () => {});
  later('raw connection', () => raw.disconnect());
  const section = await backing.open();
  await watch.attach();
  const queues = openQueues(
    { config, redis: backing.target, store: { keys: storeKeys('rekeyd') } },
    [DEPLOYMENT],
    () => {},
  );
  later('queues', () => queues.close());
  const machines = Array.from({ length: MOST_MACHINES }, (_, index) => `machine-${index + 1}`);
  const configs = await Promise.all(
    machines.map((machine, index) => configFor(machine, machine, section, fleet.ports?.[index])),
  );
  return { dir, configs, direct, watch, emulator, history, clients, raw, queues, publicFolder, later };
}

/** A web server for the public sets. */
async function serveFolder(folder: string, later: Place['later']): Promise<string> {
  const web = createServer(async ({ url = '' }, response) => {
    const set = await readFile(join(folder, decodeURIComponent(url))).catch(() => null);
    response.writeHead(set === null ? 404 : 200, { connection: 'close' }).end(set ?? '');
  });
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  later('web server', () => web.close());
  const { port } = web.address() as AddressInfo; // a TCP server that listens has one
  return `http://127.0.0.1:${port}`;
}
