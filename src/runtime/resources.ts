/** Opens everything that the service and the commands share, as the config says: store, API clients, sinks. */
import type { Config, DeploymentConfig, RedisServerConfig } from '../config/model.ts';
import { splitReference } from '../core/client.ts';
import { directorySink } from '../deliver/directory.ts';
import type { Sink } from '../deliver/sink.ts';
import { RekeydError } from '../errors.ts';
import { publishFolder } from '../publish/folder.ts';
import type { DeploymentResources, Log, Resources } from '../rotation/resources.ts';
import { openEmbedded } from '../store/embedded/embedded.ts';
import { checkIdentity } from '../store/identity.ts';
import { connectRedis } from '../store/redis/connection.ts';
import { checkDurability } from '../store/redis/durability.ts';
import type { Group, RedisTarget } from '../store/redis/target.ts';
import { openStore } from '../store/store.ts';
import type { Clock } from '../time.ts';
import { createWachtClient, type RequestInfo } from '../wacht/client.ts';
import { clientDirectory } from '../wacht/directory.ts';
import { createProver, type Prover } from '../wacht/proof.ts';
import { createReleases } from './lifecycle.ts';

export interface ResourceOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly onRequest?: (deployment: string, info: RequestInfo) => void;
}

/** @throws RekeydError `redis_unreachable`, `redis_unsafe`, `store_empty`, `config`; what was opened before is closed again */
export async function openResources(config: Config, options: ResourceOptions): Promise<Resources> {
  const { log, clock } = options;
  const releases = createReleases((name, message) => log.error({ name, error: message }, 'could not be closed'));
  try {
    const target = await redisTarget(config, releases.add);
    const redis = await connectRedis(target, { name: 'rekeyd', log });
    releases.add('redis', () => redis.disconnect());
    const durability = await checkDurability(redis, {
      mode: config.durability,
      replicas: config.redis.replicas,
      group: 'group' in target ? target.group.kind : null,
    });
    for (const finding of durability.findings) {
      if (finding.fix !== null) log.warn({ check: finding.name, fix: finding.fix }, finding.detail);
    }
    const store = openStore(redis, durability);
    releases.add('store', () => store.close());
    const identity = await checkIdentity(redis, config.dataDir);
    const deployments = new Map<string, DeploymentResources>();
    for (const deployment of config.deployments) {
      const parts = openDeployment(deployment, options, releases.add);
      deployments.set(deployment.id, parts);
    }
    return {
      config,
      log,
      clock,
      redis: target,
      store,
      durability,
      identity,
      sinks: config.sinks.map(({ path }) => openSink(path, releases.add)),
      folder: config.publish === null ? null : publishFolder(config.publish),
      deployments,
      deploymentOf(ref) {
        const found = deployments.get(splitReference(ref).deployment);
        if (found === undefined) throw new RekeydError('not_found', `The config has no deployment for ${ref}.`);
        return found;
      },
      close: releases.release,
    };
  } catch (error) {
    await releases.release();
    throw error;
  }
}

type Add = (name: string, release: () => unknown) => void;

/** Where the config's Redis is; the embedded one is started for it. */
export async function redisTarget(config: Config, add: Add): Promise<RedisTarget> {
  const { server } = config.redis;
  if (server.kind === 'url') return { url: server.url.reveal() };
  const group = redisGroup(server);
  if (group !== null) return { group };
  const embedded = await openEmbedded({ dataDir: config.dataDir });
  add('embedded redis', () => embedded.close());
  return { socketPath: embedded.socketPath };
}

/** Null where one server is all there is. */
export function redisGroup(server: RedisServerConfig): Group | null {
  if (server.kind === 'url' || server.kind === 'embedded') return null;
  const { username, password } = server.login;
  const login = {
    ...(username !== null && { username }),
    ...(password !== null && { password: password.reveal() }),
  };
  const { nodes } = server;
  if (server.kind === 'cluster') return { kind: 'cluster', nodes, login };
  const { name, sentinelPassword } = server;
  const own = sentinelPassword === null ? {} : { sentinelPassword: sentinelPassword.reveal() };
  return { kind: 'sentinels', name, nodes, login, ...own };
}

function openSink(path: string, add: Add): Sink {
  const sink = directorySink(path);
  add(`sink ${sink.name}`, sink.close);
  return sink;
}

function openDeployment(config: DeploymentConfig, options: ResourceOptions, add: Add): DeploymentResources {
  const { clock, onRequest } = options;
  const wacht = createWachtClient({
    deployment: config.id,
    apiUrl: config.apiUrl,
    urlStyle: config.urlStyle,
    apiKey: config.apiKey,
    timeoutMs: config.timeoutMs,
    connections: config.concurrency + 1, // a list beside the rotations
    clock,
    ...(onRequest === undefined ? {} : { onRequest: (info: RequestInfo) => onRequest(config.id, info) }),
  });
  add(`API client of ${config.id}`, () => wacht.close());
  const provers = new Map<string, Prover>();
  for (const app of config.apps) {
    const prover = createProver({ resolve: app.resolve, timeoutMs: config.timeoutMs });
    add(`prover of ${config.id}/${app.slug}`, () => prover.close());
    provers.set(app.slug, prover);
  }
  const issuers = new Map<string, string>(
    config.apps.flatMap(({ slug, issuer }) => (issuer === null ? [] : [[slug, issuer]])),
  );

  return {
    config,
    wacht,
    directory: clientDirectory(wacht),
    answered: new Map(),
    async issuerOf(slug) {
      if (!issuers.has(slug)) {
        for (const app of await wacht.listApps()) {
          if (!issuers.has(app.slug) && app.fqdn !== null) issuers.set(app.slug, `https://${app.fqdn}`);
        }
      }
      const issuer = issuers.get(slug);
      if (issuer !== undefined) return issuer;
      throw new RekeydError(
        'not_found',
        `The API knows no domain for app ${config.id}/${slug}, so keys cannot be proven there. Set its issuer in the config.`,
      );
    },
    proverOf(slug) {
      const prover = provers.get(slug);
      if (prover === undefined)
        throw new RekeydError('not_found', `The config has no app ${slug} in deployment ${config.id}.`);
      return prover;
    },
  };
}
