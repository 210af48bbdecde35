/** Private groups of servers on loopback: a primary with replicas and Sentinels that watch over it, and a Redis Cluster. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { storeKeys } from '../../src/store/keys.ts';
import type { ServerGroup } from '../../src/store/redis/target.ts';
import { until } from './patient.ts';
import { freePort, onFreePorts } from './ports.ts';
import { type RedisServer, redisKinds, startRedis } from './redis.ts';

export interface RedisGroup {
  /** The section `redis` of a config that leads here. */
  readonly section: Readonly<Record<string, unknown>>;
  /** The same, as the store takes it. */
  readonly group: ServerGroup;
  /** The server that holds the keys, at first; the others follow it (Sentinel) or have other slots (cluster). */
  readonly primary: RedisServer;
  readonly others: readonly RedisServer[];
  stop(): Promise<void>;
}

const NAME = 'rekeyd-test';

/** With valkey where it is installed: it has WAITAOF. */
const kind = redisKinds[0] ?? 'redis';

/** So that a test need not wait as long as production would. */
const DOWN_AFTER_MS = 1_000;
const NODE_TIMEOUT_MS = 1_000;

/** The user that replicas sign in with on their primary, so that a test can lock them out. */
export const REPLICATION_USER = { username: 'replication', password: 'follow' };

const REPLICATION = [
  ...['--user', REPLICATION_USER.username, 'on', `>${REPLICATION_USER.password}`, '~*', '&*', '+@all'],
  ...['--masteruser', REPLICATION_USER.username, '--masterauth', REPLICATION_USER.password],
  ...['--repl-diskless-sync-delay', '0'],
];

function portOf({ url }: RedisServer): number {
  return Number(new URL(url).port);
}

/** One command to one server, once it answers. */
export async function tell(
  { url }: Pick<RedisServer, 'url'>,
  command: string,
  ...args: (string | number)[]
): Promise<unknown> {
  const redis = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: null });
  redis.on('error', () => {});
  try {
    return await redis.call(command, ...args);
  } finally {
    redis.disconnect();
  }
}

export async function startSentinelGroup({ replicas }: { readonly replicas: number }): Promise<RedisGroup> {
  const primary = await startRedis({ kind, settings: REPLICATION });
  const follow = [...REPLICATION, '--replicaof', '127.0.0.1', `${portOf(primary)}`];
  const others = await Promise.all(Array.from({ length: replicas }, () => startRedis({ kind, settings: follow })));
  const sentinels = await Promise.all([1, 2, 3].map(() => onFreePorts(() => startSentinel(portOf(primary)))));
  await untilFollowed(primary, replicas);
  for (const { port } of sentinels) {
    await until('the Sentinels know the group', async () => {
      const [row] = (await askSentinel(port, 'MASTERS')) as string[][]; // name, value, name, value …
      const known = (field: string) => Number(row?.[row.indexOf(field) + 1]);
      return known('num-slaves') === replicas && known('num-other-sentinels') === 2;
    });
  }
  return {
    section: { sentinels: { name: NAME, nodes: sentinels.map(({ port }) => `127.0.0.1:${port}`) } },
    group: {
      kind: 'sentinels',
      name: NAME,
      nodes: sentinels.map(({ port }) => ({ host: '127.0.0.1', port })),
      login: {},
    },
    primary,
    others,
    async stop() {
      await Promise.all([...sentinels, primary, ...others].map((server) => server.stop()));
    },
  };
}

/** How long the primary may be silent until it is taken for dead. On a busy machine a short one has a living one replaced. */
export async function bearSilence({ group }: RedisGroup, ms: number): Promise<void> {
  for (const { port } of group.nodes) await askSentinel(port, 'SET', NAME, 'down-after-milliseconds', `${ms}`);
}

async function startSentinel(primaryPort: number) {
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-sentinel-'));
  const port = await freePort();
  const file = join(dir, 'sentinel.conf');
  const lines = [
    ...[`port ${port}`, 'bind 127.0.0.1', `dir ${dir}`, `logfile ${join(dir, 'log')}`],
    `sentinel monitor ${NAME} 127.0.0.1 ${primaryPort} 2`,
    `sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${NAME} 4000`,
  ];
  await writeFile(file, lines.join('\n'));
  const child: ChildProcess = spawn(`${kind}-server`, [file, '--sentinel'], { stdio: 'ignore' });
  const killWithUs = () => child.kill('SIGKILL');
  process.on('exit', killWithUs);
  async function stop(): Promise<void> {
    if (child.exitCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    process.off('exit', killWithUs);
    await rm(dir, { recursive: true, force: true });
  }
  try {
    await until('the Sentinel answers', async () => {
      if (child.exitCode !== null) throw new Error(await readFile(join(dir, 'log'), 'utf8'));
      return askSentinel(port, 'MASTERS').catch(() => null);
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, stop };
}

async function askSentinel(port: number, ...args: string[]): Promise<unknown> {
  const redis = new Redis({ port, retryStrategy: null, lazyConnect: true });
  redis.on('error', () => {});
  try {
    await redis.connect();
    return await redis.call('SENTINEL', ...args);
  } finally {
    redis.disconnect();
  }
}

/** Three primaries; the one with rekeyd's keys has that many replicas, which come last in `others`. */
export async function startCluster({ replicas = 0 }: { readonly replicas?: number } = {}): Promise<RedisGroup> {
  const nodes = await allOrNone(Array.from({ length: 3 + replicas }, startNode));
  const [first] = nodes;
  if (first === undefined) throw new Error('no node');
  const slot = Number(await tell(first, 'CLUSTER', 'KEYSLOT', '{rekeyd}'));
  const ranges = [
    [0, 5460],
    [5461, 10922],
    [10923, 16383],
  ] as const;
  for (const [index, [from, to]] of ranges.entries()) {
    const node = nodes[index] ?? first;
    await tell(node, 'CLUSTER', 'ADDSLOTSRANGE', from, to);
    await tell(node, 'CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
  }
  for (const node of nodes.slice(1))
    await tell(node, 'CLUSTER', 'MEET', '127.0.0.1', portOf(first), await busPort(first));
  const primary = nodes[ranges.findIndex(([from, to]) => from <= slot && slot <= to)] ?? first;
  await untilWhole(nodes);
  const id = String(await tell(primary, 'CLUSTER', 'MYID'));
  for (const node of nodes.slice(3)) await tell(node, 'CLUSTER', 'REPLICATE', id);
  await untilFollowed(primary, replicas);
  for (const node of nodes) {
    // A node votes for no replica that it does not know yet.
    await until('every node knows the replicas', async () => {
      return String(await tell(node, 'CLUSTER', 'NODES')).split(`slave ${id}`).length === replicas + 1;
    });
  }
  return {
    section: { cluster: nodes.map((node) => `127.0.0.1:${portOf(node)}`) },
    group: {
      kind: 'cluster',
      nodes: nodes.map((node) => ({ host: '127.0.0.1', port: portOf(node) })),
      login: {},
      key: storeKeys('rekeyd').id,
    },
    primary,
    others: nodes.filter((node) => node !== primary),
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

/** Where one does not start, the others do not stay. */
async function allOrNone(starting: readonly Promise<RedisServer>[]): Promise<RedisServer[]> {
  try {
    return await Promise.all(starting);
  } catch (error) {
    const started = await Promise.allSettled(starting);
    await Promise.all(started.map((one) => one.status === 'fulfilled' && one.value.stop()));
    throw error;
  }
}

function startNode(): Promise<RedisServer> {
  return onFreePorts(async () => {
    const settings = [
      ...['--cluster-enabled', 'yes', '--cluster-node-timeout', `${NODE_TIMEOUT_MS}`],
      ...['--cluster-port', `${await freePort()}`, '--repl-diskless-sync-delay', '0'],
    ];
    return startRedis({ kind, settings });
  });
}

async function busPort(node: RedisServer): Promise<number> {
  const reply = await tell(node, 'CONFIG', 'GET', 'cluster-port');
  return Array.isArray(reply) ? Number(reply[1]) : 0;
}

async function untilFollowed(primary: RedisServer, replicas: number): Promise<void> {
  await until('the replicas follow', async () => {
    const info = String(await tell(primary, 'INFO', 'replication'));
    return info.split('state=online').length === replicas + 1;
  });
}

async function untilWhole(nodes: readonly RedisServer[]): Promise<void> {
  for (const node of nodes) {
    await until('the cluster is whole', async () => {
      const info = String(await tell(node, 'CLUSTER', 'INFO'));
      return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${nodes.length}`);
    });
  }
}
