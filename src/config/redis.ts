/** The section `redis`: one server, a group that says itself which of its servers is the primary, or none: then rekeyd runs its own. */
import type { z } from 'zod';
import { isLoopback } from '../core/host.ts';
import * as field from './fields.ts';
import { count, list, name, section } from './fields.ts';
import type { Config, RedisServerConfig } from './model.ts';
import { type RedisAddress, readRedisUrl } from './redis-url.ts';
import type { Secret } from './secret.ts';
import type { Sources } from './secrets.ts';
import { redisTls, tlsProblems } from './tls.ts';

/** Where a machine without a PATH has its programs. */
const USUAL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function redis(sources: Sources) {
  const searchPath = sources.env.PATH ?? USUAL_PATH;
  const sentinels = section({
    name: name('What the Sentinels call the primary.'),
    nodes: list(field.serverAddress('Such as redis-1:26379.'), 'Sentinel').describe(
      'Their addresses. Each is asked in turn.',
    ),
    password: field.secret('Password of the Sentinels themselves.', sources, field.plainSecret).optional(),
  });
  return section({
    url: field.redisUrl('One server: redis://, rediss:// or unix://.', sources).optional(),
    sentinels: sentinels.describe('Instead of url: Sentinels that know the primary.').optional(),
    cluster: list(field.serverAddress('Such as redis-1:6379.'), 'node')
      .describe('Instead of url: nodes of a Redis Cluster. Each is asked in turn.')
      .optional(),
    username: name('Redis user, when the URL has none.').optional(),
    password: field.secret('Password of that user, when the URL has none.', sources, field.plainSecret).optional(),
    replicas: count('Replicas that must confirm a write before it counts as safe.', 0, 100).prefault(0),
    tls: redisTls(sources).describe('For rediss:// URLs. For sentinels and cluster it turns TLS on.').optional(),
  }).transform(({ replicas, tls = null, ...input }, context): Config['redis'] => {
    for (const { path, message } of problemsOf({ ...input, tls }))
      context.addIssue({ code: 'custom', path: [...path], message });
    return { server: serverOf(input, searchPath), replicas, tls };
  });
}

interface Written {
  readonly url?: Secret | undefined;
  readonly sentinels?:
    | { readonly name: string; readonly nodes: Nodes; readonly password?: Secret | undefined }
    | undefined;
  readonly cluster?: Nodes | undefined;
  readonly username?: string | undefined;
  readonly password?: Secret | undefined;
}

type Nodes = Extract<RedisServerConfig, { kind: 'cluster' }>['nodes'];

/** That only one of the three is written is a rule (`oneRedis`). */
function serverOf({ url, sentinels, cluster, username, password }: Written, searchPath: string): RedisServerConfig {
  const login = { username: username ?? null, password: password ?? null };
  if (url !== undefined) return { kind: 'url', url, login };
  if (sentinels !== undefined) {
    const { name, nodes, password: own } = sentinels;
    return { kind: 'sentinels', name, nodes, sentinelPassword: own ?? null, login };
  }
  return cluster === undefined ? { kind: 'embedded', searchPath } : { kind: 'cluster', nodes: cluster, login };
}

type Problem = Pick<z.core.$ZodIssue, 'path' | 'message'>;

function problemsOf({ url, sentinels, cluster, username, password, tls }: Written & Pick<Config['redis'], 'tls'>) {
  const problems: Problem[] = [];
  const add = (name: string, message: string) => void problems.push({ path: [name], message });
  const address = url === undefined ? null : addressOf(url);
  if (address !== null && 'password' in address && address.password !== null) {
    for (const name of ['username', 'password'] as const) {
      if ({ username, password }[name] !== undefined)
        add(name, 'is in the URL, too: write it in one of the two places');
    }
  } else if (username !== undefined && password === undefined && (url ?? sentinels ?? cluster) !== undefined) {
    add('username', 'has no password: write password: env:NAME or file:PATH beside it');
  }
  if (tls === null) return problems;
  if (address !== null && !('isTls' in address && address.isTls))
    add('tls', 'is for TLS, and the URL is not: write rediss:// there');
  return [...problems, ...tlsProblems(tls).map(({ path, message }) => ({ path: ['tls', ...path], message }))];
}

function addressOf(url: Secret): RedisAddress | null {
  const read = readRedisUrl(url.reveal());
  return 'address' in read ? read.address : null;
}

/** What to write where a password of Redis crosses the network in clear. Null: none does. */
export function exposedPassword({ server, tls }: Config['redis']): string | null {
  if (server.kind === 'embedded') return null;
  if (server.kind !== 'url') {
    const hasPassword =
      server.login.password !== null || (server.kind === 'sentinels' && server.sentinelPassword !== null);
    const isFar = server.nodes.some(({ host }) => !isLoopback(host));
    return hasPassword && tls === null && isFar
      ? `write tls: {} beside ${server.kind}, and let the servers speak TLS`
      : null;
  }
  const address = addressOf(server.url);
  if (address === null || !('host' in address) || address.isTls || isLoopback(address.host)) return null;
  return address.password === null && server.login.password === null
    ? null
    : 'write rediss://, and let the server speak TLS';
}
