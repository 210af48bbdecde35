import type { Redis } from 'ioredis';
import { messageOf } from '../../errors.ts';
import { text } from './replies.ts';

/** What Redis says about itself; null where it does not tell (managed services often forbid CONFIG). */
export interface Facts {
  readonly version: string;
  readonly server: string;
  readonly primary: boolean;
  readonly waitaof: boolean;
  readonly appendonly: boolean;
  readonly appendfsync: string | null;
  readonly maxmemoryPolicy: string;
  /** A node of a Redis Cluster. */
  readonly clustered: boolean;
  /** Replicas that are connected. */
  readonly replicas: number;
  /** Replicas that the cluster would let take over, connected or not; null outside one. */
  readonly heirs: number | null;
}

export async function askFacts(redis: Redis): Promise<Facts> {
  const info = parseInfo(`${await redis.info('server')}\n${await redis.info('persistence')}`);
  const more = parseInfo(`${await redis.info('memory')}\n${await redis.info('replication')}`);
  const clustered = /cluster_enabled:1/.test(await redis.info('cluster'));
  const known: unknown = await redis.call('COMMAND', 'INFO', 'WAITAOF');
  return {
    version: info.get('valkey_version') ?? info.get('redis_version') ?? '0',
    server: info.get('server_name') === 'valkey' ? 'Valkey' : 'Redis',
    primary: more.get('role') !== 'slave',
    waitaof: Array.isArray(known) && Array.isArray(known[0]) && known[0].length > 0,
    appendonly: info.get('aof_enabled') === '1',
    appendfsync: await askSetting(redis, 'appendfsync'),
    maxmemoryPolicy: more.get('maxmemory_policy') ?? 'unknown',
    clustered,
    replicas: Number(more.get('connected_slaves') ?? 0),
    heirs: clustered ? await countHeirs(redis) : null,
  };
}

async function countHeirs(redis: Redis): Promise<number> {
  const id = text(await redis.call('CLUSTER', 'MYID'));
  return text(await redis.call('CLUSTER', 'NODES'))
    .split('\n')
    .filter((node) => node.includes(` ${id} `)).length;
}

async function askSetting(redis: Redis, name: string): Promise<string | null> {
  try {
    const reply = await redis.config('GET', name);
    return Array.isArray(reply) && reply.length === 2 ? text(reply[1]) : null;
  } catch (error) {
    if (/unknown command|NOPERM|disabled|not allowed/i.test(messageOf(error))) return null;
    throw error;
  }
}

function parseInfo(info: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of info.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}
