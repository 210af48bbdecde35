/** The command line as users run it: child processes over one config file, against a local Wacht. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbedded } from '../../src/store/embedded/embedded.ts';
import { isChange } from '../emulator/log.ts';
import { type Emulator, type EmulatorOptions, startEmulator } from '../emulator/server.ts';
import { makeKey, type TestKey, withPem } from '../emulator/testing.ts';
import { COMPILED } from '../support/compiled.ts';
import { LATENCY_MS } from '../support/slowness.ts';
import { until, witness } from '../support/until.ts';

const DEPLOYMENT = '185019846023';
export const CLI = join(import.meta.dirname, '../../src/cli.ts');
const API_KEY = 'test-api-key';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that has not ended yet. */
export interface Running {
  readonly ended: Promise<Ended>;
  stdout(): string;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
}

export interface Client {
  readonly ref: string;
  readonly id: string;
  readonly clientId: string;
  readonly key: TestKey;
}

export interface World {
  readonly dir: string;
  readonly emulator: Emulator;
  /** The config file as data; variants of it go to {@link writeConfig}. */
  readonly config: Settings;
  /** What the config refers to as env:NAME. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Returns its path. */
  writeConfig(config: unknown, name?: string): Promise<string>;
  /** Runs `rekeyd` with that config file unless `args` name another, and waits for its end. */
  run(args: readonly string[], env?: Readonly<Record<string, string>>, stdin?: string): Promise<Ended>;
  /** The same, for a command that goes on. */
  spawn(args: readonly string[], env?: Readonly<Record<string, string>>): Running;
  /** `rekeyd start`, once it says that it has started. */
  start(...args: readonly string[]): Promise<Running>;
  /** A client of `pem-app` (one key at a time) or `kid-app` (several). Nobody has given its key to rekeyd. */
  addClient(app: AppSlug, alg?: string): Client;
  /** The same, imported and enrolled by the command line. */
  enrolledClient(app: AppSlug, alg?: string): Promise<Client>;
  /** Found by a `rekeyd start` that has ended again. */
  foundClient(app: AppSlug): Promise<Client>;
  /** Writes the client's private key to a file; returns its path. */
  keyFile(client: Client): Promise<string>;
  patches(): number;
  close(): Promise<void>;
}

type AppSlug = 'pem-app' | 'kid-app';

type Settings = Readonly<Record<string, unknown>>;

/**
 * @param top top-level settings over a config that rotates as fast as it can, and only when asked
 * @param deployment settings over those of its deployment
 */
export async function openWorld(
  top: Settings = {},
  deployment: Settings = {},
  options?: EmulatorOptions,
): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-cli-'));
  const emulator = await startEmulator({ latencyMs: LATENCY_MS, ...options });
  emulator.setApiKey(DEPLOYMENT, API_KEY);
  emulator.addApp({ deployment: DEPLOYMENT, slug: 'pem-app', selection: 'first_pem' });
  emulator.addApp({ deployment: DEPLOYMENT, slug: 'kid-app', selection: 'jwks_kid' });
  const children = new Set<ChildProcess>();
  const config = { ...configOf(emulator.url, deployment), ...top };

  async function writeConfig(content: unknown, name = 'rekeyd.yaml'): Promise<string> {
    const path = join(dir, name);
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  }
  const file = await writeConfig(config);

  function spawnCli(args: readonly string[], env: Readonly<Record<string, string>> = {}, stdin = ''): Running {
    const child = spawn(process.execPath, [CLI, ...args], {
      cwd: dir,
      env: {
        PATH: process.env.PATH,
        ...COMPILED,
        REKEYD_CONFIG: file,
        ...secrets,
        ...env,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stdin.on('error', () => {}); // it ended without reading
    child.stdin.end(stdin);
    children.add(child);
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const forget = witness(() => `rekeyd ${args.join(' ')}: ${stderr.slice(-500)}`);
    const ended = once(child, 'close').then(([code]) => {
      children.delete(child);
      forget();
      return { code: code as number | null, stdout, stderr }; // the documented arguments of the event
    });
    return { ended, stdout: () => stdout, stderr: () => stderr, kill: (signal) => void child.kill(signal) };
  }

  async function start(...args: readonly string[]): Promise<Running> {
    const service = spawnCli(['start', ...args]);
    await until('the service starts', (saw) => saw(service.stderr()).includes('"msg":"started"'), 30_000);
    return service;
  }

  function addClient(app: AppSlug, alg = 'ES256'): Client {
    const key = makeKey(alg);
    const members = { deployment: DEPLOYMENT, app, alg, jwks: { keys: [withPem(key)] } };
    const { id, client_id: clientId } = emulator.addClient(members);
    return { ref: `${DEPLOYMENT}/${app}/${id}`, id, clientId, key };
  }

  async function keyFile({ id, key }: Client): Promise<string> {
    const path = join(dir, `${id}.pem`);
    await writeFile(path, privatePem(key), { mode: 0o600 });
    return path;
  }

  return {
    dir,
    emulator,
    config,
    secrets,
    writeConfig,
    run: (args, env, stdin) => spawnCli(args, env, stdin).ended,
    spawn: spawnCli,
    start,
    addClient,
    keyFile,
    async enrolledClient(app, alg) {
      const client = addClient(app, alg);
      const ended = await spawnCli(['keys', 'import', client.ref, '--file', await keyFile(client), '--enroll']).ended;
      if (ended.code !== 0) throw new Error(ended.stderr);
      return client;
    },
    async foundClient(app) {
      const client = addClient(app);
      const service = await start('--no-http');
      await until('it is found', async (saw) => saw(await spawnCli(['status', client.ref]).ended).code === 0);
      service.kill('SIGTERM');
      const { code, stderr } = await service.ended;
      if (code !== 0) throw new Error(stderr);
      return client;
    },
    patches: () => emulator.log.filter(isChange).length,
    async close() {
      await Promise.all([...children].map((child) => child.kill('SIGKILL') && once(child, 'close')));
      // A command that was killed leaves the embedded server running: the last one that closes it ends it.
      await (await openEmbedded({ dataDir: join(dir, 'data'), searchPath: process.env.PATH ?? '' })).close();
      await emulator.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** stdout as the one JSON document that it must be. The shape is the test's to assert. */
// biome-ignore lint/suspicious/noExplicitAny: each test names the members it looks at
export function documentOf({ stdout }: Ended): any {
  return JSON.parse(stdout);
}

function privatePem({ privateKey }: TestKey): string {
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/** What its config refers to. */
export const secrets = {
  KEK: Buffer.alloc(32, 7).toString('base64url'),
  KEK2: Buffer.alloc(32, 8).toString('base64url'),
  API_KEY,
};

function configOf(url: string, deployment: Settings): Settings {
  const app = (slug: string) => ({ slug, policy: slug, resolve: { [`${slug}.example.com`]: url } });
  const quick = { schedule: '0 0 1 1 *', propagation: '0ms', overlap: '200ms' };
  return {
    data_dir: './data',
    encryption: { keks: [{ id: 'kek-1', key: 'env:KEK' }] },
    deployments: [
      {
        id: DEPLOYMENT,
        api_url: url,
        api_key: 'env:API_KEY',
        rate_limit: { max: 1000, per: '1s' },
        backoff: { base: '50ms', max: '200ms' },
        apps: [app('pem-app'), app('kid-app')],
        ...deployment,
      },
    ],
    policies: { 'pem-app': quick, 'kid-app': { ...quick, strategy: 'overlap' } },
    http: { listen: '127.0.0.1:0' },
    reconcile_every: '1s',
  };
}
