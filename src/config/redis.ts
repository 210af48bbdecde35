/** The section `redis`: one server, a group that says itself which of its servers is the primary, or none: then rekeyd runs its own. */

import * as field from './fields.ts';
import { count, list, name, section } from './fields.ts';
import type { Config, RedisServerConfig } from './model.ts';
import type { Secret } from './secret.ts';
import type { Sources } from './secrets.ts';

/** Where a machine without a PATH has its programs. */
const USUAL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function redis(sources: Sources) {
  const searchPath = sources.env.PATH ?? USUAL_PATH;
  const sentinels = section({
    name: name('What the Sentinels call the primary.'),
    nodes: list(field.serverAddress('host:port of a Sentinel.'), 'Sentinel').describe('Each is asked in turn.'),
    password: field.secret('Password of the Sentinels themselves.', sources, field.plainSecret).optional(),
  });
  return section({
    url: field.redisUrl('One server. With none of the three, rekeyd runs its own in data_dir.', sources).optional(),
    sentinels: sentinels.describe('Instead of url: ask these where the primary is.').optional(),
    cluster: list(field.serverAddress('host:port of a node.'), 'node')
      .describe('Instead of url: nodes of a Redis Cluster; each is asked in turn who owns the keys.')
      .optional(),
    username: name('User on the servers of sentinels or cluster.').optional(),
    password: field.secret('Password on the servers of sentinels or cluster.', sources, field.plainSecret).optional(),
    replicas: count('Replicas that must confirm a write before it counts as safe.', 0, 100).prefault(0),
  }).transform(({ replicas, ...input }): Config['redis'] => ({ server: serverOf(input, searchPath), replicas }));
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
  if (url !== undefined) return { kind: 'url', url };
  const login = { username: username ?? null, password: password ?? null };
  if (sentinels !== undefined) {
    const { name, nodes, password: own } = sentinels;
    return { kind: 'sentinels', name, nodes, sentinelPassword: own ?? null, login };
  }
  return cluster === undefined ? { kind: 'embedded', searchPath } : { kind: 'cluster', nodes: cluster, login };
}
