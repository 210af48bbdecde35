/** Opens everything that the service and the commands share, as the config says: store, API clients, sinks. */
import type { Config, DeploymentConfig, RedisServerConfig } from './config.ts';
import { type ClientRef, splitReference } from './core/client.ts';
import { directorySink } from './deliver/directory.ts';
import type { Sink } from './deliver/sink.ts';
import { RekeydError } from './errors.ts';
import { createReleases } from './lifecycle.ts';
import type { Log } from './log.ts';
import { type PublicFolder, publishFolder } from './publish/folder.ts';
import { connectRedis } from './store/connection.ts';
import { checkDurability, type Durability } from './store/durability.ts';
import { openEmbedded } from './store/embedded.ts';
import { checkIdentity, type Identity } from './store/identity.ts';
import { openStore, type Store } from './store/store.ts';
import type { Group, RedisTarget } from './store/target.ts';
import type { Clock } from './time.ts';
import { createWachtClient, type RequestInfo, type WachtClient } from './wacht/client.ts';
import { type ClientDirectory, clientDirectory } from './wacht/directory.ts';
import { createProver, type Prover } from './wacht/proof.ts';

export interface DeploymentParts {
  readonly config: DeploymentConfig;
  readonly wacht: WachtClient;
  readonly directory: ClientDirectory;
  /** The app's own domain, where its clients sign in. @throws ApiError, RekeydError `not_found` */
  issuerOf(app: string): Promise<string>;
  proverOf(app: string): Prover;
  /** By app: when its issuer last answered a proof, in ms of the monotonic clock. */
  readonly answered: Map<string, number>;
}

export interface Parts {
  readonly config: Config;
  readonly log: Log;
  readonly clock: Clock;
  readonly redis: RedisTarget;
  readonly store: Store;
  readonly durability: Durability;
  readonly identity: Identity;
  readonly sinks: readonly Sink[];
  readonly folder: PublicFolder | null;
  readonly deployments: ReadonlyMap<string, DeploymentParts>;
  deploymentOf(ref: ClientRef): DeploymentParts;
  close(): Promise<void>;
}

export interface PartsOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly onRequest?: (deployment: string, info: RequestInfo) => void;
}

/** @throws RekeydError `redis_unreachable`, `redis_unsafe`, `store_empty`, `config`; what was opened before is closed again */
export async function openParts(config: Config, options: PartsOptions): Promise<Parts> {
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
    const deployments = new Map<string, DeploymentParts>();
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

function openDeployment(config: DeploymentConfig, options: PartsOptions, add: Add): DeploymentParts {
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
