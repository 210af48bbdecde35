/** The one place where the config becomes what connections to Redis are made with. */
import type { Config, RedisServerConfig } from '../config/model.ts';
import { openEmbedded } from '../store/embedded/embedded.ts';
import { storeKeys } from '../store/keys.ts';
import type { Login, RedisTarget, ServerGroup, Tls } from '../store/redis/target.ts';

type Add = (name: string, release: () => unknown) => void;

/** Where the config's Redis is; the embedded one is started for it. */
export async function redisTarget(config: Config, add: Add): Promise<RedisTarget> {
  const { server, tls } = config.redis;
  if (server.kind === 'url') return { url: server.url.reveal(), login: loginOf(server), ...tlsOf(tls) };
  if (server.kind !== 'embedded') return { group: redisGroup(config, server) };
  const embedded = await openEmbedded({ dataDir: config.dataDir, searchPath: server.searchPath });
  add('embedded redis', () => embedded.close());
  return { socketPath: embedded.socketPath };
}

type GroupConfig = Exclude<RedisServerConfig, { kind: 'url' | 'embedded' }>;

export function redisGroup(
  { namespace, redis }: Pick<Config, 'namespace' | 'redis'>,
  server: GroupConfig,
): ServerGroup {
  const { nodes } = server;
  const common = { nodes, login: loginOf(server), ...tlsOf(redis.tls) };
  if (server.kind === 'cluster') return { ...common, kind: 'cluster', key: storeKeys(namespace).id };
  const { name, sentinelPassword } = server;
  const own = sentinelPassword === null ? {} : { sentinelPassword: sentinelPassword.reveal() };
  return { ...common, kind: 'sentinels', name, ...own };
}

function loginOf({ login: { username, password } }: Pick<GroupConfig, 'login'>): Login {
  return { ...(username !== null && { username }), ...(password !== null && { password: password.reveal() }) };
}

function tlsOf(tls: Config['redis']['tls']): { readonly tls?: Tls } {
  if (tls === null) return {};
  const { ca, cert, key, servername } = tls;
  return {
    tls: {
      ...(ca !== null && { ca: ca.reveal() }),
      ...(cert !== null && { cert: cert.reveal() }),
      ...(key !== null && { key: key.reveal() }),
      ...(servername !== null && { servername }),
    },
  };
}
