/** What the Redis user of a worker may do, found out by trying. */
import { messageOf } from '../../errors.ts';
import { connectRedis } from './connection.ts';
import { isDenial } from './replies.ts';
import type { RedisTarget } from './target.ts';

/** Commands with a key of ours, and how many arguments each is tried with: those of our scripts, of BullMQ's, and what is sent beside them. */
const ON_KEYS: Readonly<Record<string, number>> = {
  ...{ bzpopmin: 2, del: 1, exists: 1, get: 1, hdel: 2, hexists: 2, hget: 2, hgetall: 1, hincrby: 3 },
  ...{ hkeys: 1, hmget: 2, hmset: 3, hset: 3, hsetnx: 3, hvals: 1, incr: 1, lindex: 2, llen: 1, lpop: 1 },
  ...{ lpos: 2, lpush: 2, lrange: 3, lrem: 3, ltrim: 3, persist: 1, pexpire: 2, pttl: 1, rename: 2 },
  ...{ rpop: 1, rpoplpush: 2, rpush: 2, sadd: 2, scard: 1, set: 2, smembers: 1, smismember: 2, srem: 2 },
  ...{ xadd: 4, xrange: 3, xrevrange: 3, xtrim: 3, zadd: 3, zcard: 1, zcount: 3, zlexcount: 3, zpopmin: 1 },
  ...{ zrange: 3, zrangebylex: 3, zrangebyscore: 3, zrem: 2, zremrangebyrank: 3, zremrangebyscore: 3 },
  ...{ zrevrange: 3, zrevrangebyscore: 3, zscore: 2 },
};

/** Without a key, with their arguments. */
const BESIDE_KEYS: readonly (readonly [command: string, ...args: string[]])[] = [
  ['client', 'list'],
  ['client', 'setname', 'rekeyd'],
  ['command', 'info', 'get'],
  ['config', 'get', 'appendfsync'],
  ['eval', 'return 1', '0'],
  ['evalsha', '0', '0'],
  ['info'],
  ['ping'],
  ['scan', '0'],
  ['time'],
  ['wait', '0', '1'],
  ['waitaof', '0', '0', '1'],
];

const CLUSTER: typeof BESIDE_KEYS = [
  ['cluster', 'info'],
  ['cluster', 'keyslot', 'a'],
  ['cluster', 'myid'],
  ['cluster', 'nodes'],
  ['cluster', 'slots'],
];

export interface MissingRights {
  /** As an ACL names them: `hset`, `client|list`. */
  readonly commands: readonly string[];
  /** Keys with our prefix cannot be used. */
  readonly keys: boolean;
}

/**
 * Each command is put into a transaction, where the server checks what the user may, and the transaction is thrown away: nothing is changed.
 * @param prefix what all of our keys begin with, as `{rekeyd}`
 * @throws RekeydError `redis_unreachable`
 */
export async function missingRights(target: RedisTarget, prefix: string): Promise<MissingRights> {
  const redis = await connectRedis(target, { name: 'rekeyd-rights' });
  try {
    // Without a transaction they would be done.
    const denied = await refusals([() => redis.call('MULTI')]);
    if (denied[0] !== null) return { commands: ['multi', 'exec', 'discard'], keys: false };
    const tries = commandsFor(target, prefix);
    const answers = await refusals(
      tries.map(
        ([name, ...args]) =>
          () =>
            redis.call(name, ...args),
      ),
    );
    const discard = await refusals([() => redis.call('DISCARD')]);
    const missing = tries.filter((_, index) => answers[index] === 'command').map(nameInAcl);
    return {
      commands: discard[0] === null ? missing : [...missing, 'discard'],
      keys: answers.includes('key'),
    };
  } finally {
    redis.disconnect();
  }
}

function commandsFor(target: RedisTarget, prefix: string): typeof BESIDE_KEYS {
  // A key without any other use: should the connection be lost after MULTI, what follows is done.
  const onKeys = Object.entries(ON_KEYS).map(
    ([name, count]) => [name, ...Array.from({ length: count }, () => `${prefix}:store:tried`)] as const,
  );
  const isCluster = 'group' in target && target.group.kind === 'cluster';
  return [...onKeys, ...BESIDE_KEYS, ...(isCluster ? CLUSTER : [])];
}

/** Of each command what the user may not: use it, or use the key. Null: it may. */
function refusals(commands: readonly (() => Promise<unknown>)[]): Promise<readonly ('command' | 'key' | null)[]> {
  return Promise.all(
    commands.map(async (send) => {
      try {
        await send();
        return null;
      } catch (error) {
        const message = messageOf(error);
        if (!isDenial(message)) return null; // an older server does not know all of them
        return /access (a|one of the) keys?/.test(message) ? 'key' : 'command';
      }
    }),
  );
}

function nameInAcl([name, subcommand]: (typeof BESIDE_KEYS)[number]): string {
  return ['client', 'command', 'config', 'cluster'].includes(name) ? `${name}|${subcommand}` : name;
}

/** For a person; null when nothing is missing. */
export function describeMissing({ commands, keys }: MissingRights, prefix: string): string | null {
  const problems = [
    ...(commands.length === 0 ? [] : [`the user may not run ${commands.join(', ')}`]),
    ...(keys ? [`the user may not use keys that begin with ${prefix}:`] : []),
  ];
  return problems.length === 0 ? null : problems.join('; ');
}

/** The ACL of the smallest user that a worker can be, without its name and password. */
export function workerAcl(prefix: string): string {
  const names = [...Object.keys(ON_KEYS), ...BESIDE_KEYS.map(nameInAcl), 'multi', 'exec', 'discard'].sort();
  return ['resetchannels', `~${prefix}:*`, '-@all', ...names.map((name) => `+${name}`)].join(' ');
}
