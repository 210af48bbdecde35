/** A private redis-server or valkey-server in a temporary folder, on a unix socket and a loopback port. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { knowsWaitaof, NEEDS_WAITAOF } from '../setup/install-plan.ts';
import { freePort, onFreePorts } from './ports.ts';

export type RedisKind = 'valkey' | 'redis';

export interface RedisSetup {
  /** The first one installed when absent. */
  readonly kind?: RedisKind;
  readonly appendonly?: 'yes' | 'no';
  readonly appendfsync?: 'always' | 'everysec' | 'no';
  readonly maxmemoryPolicy?: string;
  /** Folder for its data; the system's temporary one when absent. */
  readonly parent?: string;
  /** More of the server's own settings, as on its command line. */
  readonly settings?: readonly string[];
}

export interface RedisServer {
  readonly kind: RedisKind;
  readonly socketPath: string;
  /** `redis://127.0.0.1:port` */
  readonly url: string;
  readonly pid: number;
  /** SIGKILL; the data stays. */
  kill(): Promise<void>;
  /** Starts again over the same data, at the same address. */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
  /** Ends it and removes the data. */
  stop(): Promise<void>;
}

/** The servers on this machine's PATH; store tests run on each. */
export const redisKinds: readonly RedisKind[] = (['valkey', 'redis'] as const).filter(
  (kind) => spawnSync(`${kind}-server`, ['--version']).status === 0,
);

/** Those of them that can say when a write is on disk. Without one, tests that need it are left out, and the end of the run says so. */
export const waitaofKinds: readonly RedisKind[] = redisKinds.filter((kind) =>
  knowsWaitaof(`${kind}-server`, spawnSync(`${kind}-server`, ['--version'], { encoding: 'utf8' }).stdout),
);

/** Reasons that a test gives for being left out. */
export const NO_WAITAOF = `there is no server with WAITAOF on the PATH: ${NEEDS_WAITAOF}`;
export const NO_OTHER = 'there is no server without WAITAOF on the PATH: it takes redis-server before 7.2';

export async function startRedis(setup: RedisSetup = {}): Promise<RedisServer> {
  const [first] = redisKinds;
  const kind = setup.kind ?? first;
  if (kind === undefined) throw new Error('neither valkey-server nor redis-server is on the PATH');
  const dir = await mkdtemp(join(setup.parent ?? tmpdir(), 'rekeyd-redis-'));
  const socketPath = join(dir, 'redis.sock');
  const launchAt = (port: number) => launch(kind, dir, socketPath, port, setup);
  let port = 0;
  let child = await onFreePorts(async () => {
    port = await freePort();
    return launchAt(port);
  });

  const killWithUs = () => child.kill('SIGKILL');
  process.on('exit', killWithUs);
  async function kill(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  return {
    kind,
    socketPath,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return child.pid ?? 0;
    },
    kill,
    async restart() {
      await kill();
      child = await launchAt(port);
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async stop() {
      await kill();
      process.off('exit', killWithUs);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function launch(
  kind: RedisKind,
  dir: string,
  socketPath: string,
  port: number,
  setup: RedisSetup,
): Promise<ChildProcess> {
  const log = openSync(join(dir, 'server.log'), 'a');
  const child = spawn(
    `${kind}-server`,
    [
      ...['--port', `${port}`, '--bind', '127.0.0.1', '--unixsocket', socketPath, '--dir', dir, '--save', ''],
      ...['--appendonly', setup.appendonly ?? 'yes', '--appendfsync', setup.appendfsync ?? 'always'],
      ...['--maxmemory-policy', setup.maxmemoryPolicy ?? 'noeviction', ...(setup.settings ?? [])],
    ],
    { stdio: ['ignore', log, log] },
  );
  closeSync(log);
  const ended = once(child, 'exit').then(() => {
    throw new Error('it ended');
  });
  ended.catch(() => {}); // also when it ends long after this
  try {
    const connected = connectRedis({ socketPath }, { name: 'test', connectTimeout: 20_000 });
    const redis = await Promise.race([connected, ended]);
    redis.disconnect();
  } catch (cause) {
    child.kill('SIGKILL');
    throw new Error(`${kind}-server did not start:\n${readFileSync(join(dir, 'server.log'), 'utf8')}`, { cause });
  }
  return child;
}
