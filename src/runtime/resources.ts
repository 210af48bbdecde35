/** Opens everything that the service and the commands share, as the config says: store, API clients, sinks. */
import { appPaths } from '../config/lookup.ts';
import type { Config, DeploymentConfig } from '../config/model.ts';
import type { SinkConfig } from '../config/sinks/model.ts';
import { splitReference } from '../core/client.ts';
import { NO_TRACE } from '../core/trace.ts';
import type { DeliveringStore } from '../deliver/fence.ts';
import { openSink } from '../deliver/open.ts';
import type { Sink } from '../deliver/sink.ts';
import { RekeydError } from '../errors.ts';
import { type GenerateKey, openGenerator, rsaAtOnce } from '../keys/generator.ts';
import { type PublicFolder, publishFolder } from '../publish/folder.ts';
import { openFacts } from '../rotation/facts.ts';
import { openIssuers } from '../rotation/issuers.ts';
import { releaseKeks } from '../rotation/policy.ts';
import type { DeploymentResources, Log, Resources, Tracing } from '../rotation/resources.ts';
import { type Guard, openGuard } from '../store/guard.ts';
import { readFacts } from '../store/identity.ts';
import { storeKeys } from '../store/keys.ts';
import type { OnCommit } from '../store/records.ts';
import { connectRedis } from '../store/redis/connection.ts';
import type { DurabilityOptions } from '../store/redis/durability.ts';
import { describeMissing, missingRights } from '../store/redis/rights.ts';
import type { RedisTarget } from '../store/redis/target.ts';
import { openStore, type Store } from '../store/store.ts';
import type { Clock } from '../time.ts';
import { createWachtClient, type RequestInfo } from '../wacht/client.ts';
import { appLists } from '../wacht/lists.ts';
import { openLooks } from '../wacht/looks.ts';
import { createProver, type Prover } from '../wacht/proof.ts';
import { opening } from './lifecycle.ts';
import { patiently } from './patiently.ts';
import { redisTarget } from './redis-target.ts';

export interface ResourceOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly onRequest?: (deployment: string, info: RequestInfo) => void;
  /** Of libuv's thread pool; four when absent. */
  readonly poolThreads?: number | undefined;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing;
}

/** The store as this process reaches it, for as long as it lives. */
export interface StoreHandle {
  /** See {@link ../store/redis/target.ts#renewTarget}. */
  readonly target: RedisTarget;
  readonly redis: Awaited<ReturnType<typeof connectRedis>>;
  readonly guard: Guard;
  readonly store: Store;
  close(): Promise<void>;
  /** Ends all connections to Redis, the queues' own too: whatever waits for an answer fails, so that {@link StoreHandle.close} need not wait. */
  cutOff(): void;
}

export interface StoreOptions extends Pick<ResourceOptions, 'log'> {
  readonly onCommit?: OnCommit;
}

/** @throws RekeydError `redis_unreachable`, `redis_unsafe`, `store_lost`, `config`; what was opened before is closed again */
export async function openStoreHandle(config: Config, { log, onCommit }: StoreOptions): Promise<StoreHandle> {
  return opening(log, async (add, close) => {
    const ending = new AbortController();
    const target = { ...(await redisTarget(config, add)), ended: ending.signal };
    const redis = await connectRedis(target, { name: 'rekeyd', log });
    add('redis', () => redis.disconnect());
    const keys = storeKeys(config.namespace);
    const guard = await openGuard(redis, {
      keys,
      ...durabilityOptions(config, target),
      dataDir: config.dataDir,
      whatIsDenied: async () => describeMissing(await missingRights(target, keys.queues), keys.queues),
      onChange: tell(log),
      onNotes: tellNotes(log),
    });
    add('store marker', () => guard.close());
    for (const { name, fix, detail } of guard.durability.requirements) {
      if (fix !== null) log.warn({ check: name, fix }, detail);
    }
    const store = openStore(redis, guard, onCommit);
    add('store', () => store.close());
    await guard.remember();
    return { target, redis, guard, store, close, cutOff: () => ending.abort() };
  });
}

/** @throws RekeydError `redis_unreachable`, `redis_unsafe`, `store_lost`, `config`; what was opened before is closed again */
export async function openResources(config: Config, options: ResourceOptions): Promise<Resources> {
  return opening(options.log, async (add, close) => {
    const handle = await openStoreHandle(config, options);
    add('store handle', () => handle.close());
    const resources = await openResourcesOn(handle, config, options);
    add('resources', () => resources.close());
    return { ...resources, close };
  });
}

/** All but the store, which stays open when these are closed: what one config asks for. */
export async function openResourcesOn(
  { target, redis, guard, store }: StoreHandle,
  config: Config,
  options: ResourceOptions,
): Promise<Resources> {
  const { log, clock, tracing = NOT_TRACED } = options;
  return opening(log, async (add, close) => {
    add('KEKs', () => releaseKeks(config));
    const facts = openFacts(store);
    await facts.refresh(appPaths(config));
    const generateKey = openGenerator(rsaAtOnce(options.poolThreads));
    const deployments = new Map<string, DeploymentResources>();
    for (const deployment of config.deployments) {
      deployments.set(deployment.id, openDeployment(deployment, store, generateKey, options, add));
    }
    return {
      config,
      log,
      clock,
      redis: target,
      store,
      guard,
      facts,
      generateKey,
      tracing,
      sinks: config.sinks.map((sink) => openAndAdd(sink, storeOf(store, redis), clock, add)),
      folder: openFolder(config, add),
      deployments,
      deploymentOf(ref) {
        const found = deployments.get(splitReference(ref).deployment);
        if (found === undefined) throw new RekeydError('not_found', `The config has no deployment for ${ref}.`);
        return found;
      },
      close,
    };
  });
}

const NOT_TRACED: Tracing = { trace: NO_TRACE, queues: null };

/** A store that cannot be worked with any more is told once, and once more when it can. */
function tell(log: Log): (problem: RekeydError | null) => void {
  return (problem) => {
    if (problem === null) log.info({}, 'the store can be worked with again');
    else
      log.error({ code: problem.code, error: problem.message }, 'the store cannot be worked with: nothing is changed');
  };
}

/** `store.json` in `data_dir` notes how far the audit log is: by that a loss of the store is noticed. */
function tellNotes(log: Log): (problem: string | null) => void {
  return (problem) => {
    if (problem === null) log.info({}, 'store.json can be written again');
    else
      log.error(
        { error: problem },
        'store.json in data_dir cannot be written: should Redis lose what is written from now on, that may go unnoticed',
      );
  };
}

function durabilityOptions(config: Config, target: RedisTarget): DurabilityOptions {
  const group = 'group' in target ? target.group.kind : null;
  return { mode: config.durability, replicas: config.redis.replicas, group };
}

function openFolder({ publish }: Config, add: Add): PublicFolder | null {
  if (publish === null) return null;
  const folder = publishFolder(publish);
  add('publish folder', folder.close);
  return folder;
}

type Add = (name: string, release: () => unknown) => void;

function openAndAdd(config: SinkConfig, store: DeliveringStore, clock: Clock, add: Add): Sink {
  const sink = openSink(config, { store, now: clock.now });
  add(`sink ${sink.name}`, sink.close);
  return sink;
}

/** A declared loss gives the store another id while it is in use. */
function storeOf(store: Store, redis: Parameters<typeof readFacts>[0]): DeliveringStore {
  return { id: () => store.id, predecessors: async () => (await readFacts(redis, store.keys)).predecessors };
}

function openDeployment(
  config: DeploymentConfig,
  store: Store,
  generateKey: GenerateKey,
  options: ResourceOptions,
  add: Add,
): DeploymentResources {
  const { clock, log, onRequest, tracing: { trace } = NOT_TRACED } = options;
  const { id } = config;
  const wacht = createWachtClient({
    deployment: config.id,
    apiUrl: config.apiUrl,
    urlStyle: config.urlStyle,
    apiKey: config.apiKey,
    ...config.route,
    timeoutMs: config.timeoutMs,
    connections: config.concurrency + 1, // a list beside the rotations
    clock,
    trace,
    ...(onRequest === undefined ? {} : { onRequest: (info: RequestInfo) => onRequest(config.id, info) }),
  });
  add(`API client of ${config.id}`, () => wacht.close());
  const provers = new Map<string, Prover>();
  for (const app of config.apps) {
    const prover = createProver({ resolve: app.resolve, ...app.route, timeoutMs: config.timeoutMs, generateKey });
    add(`prover of ${config.id}/${app.slug}`, () => prover.close());
    provers.set(app.slug, prover);
  }
  const countCall = () => store.spend(id, config.rateLimit);
  const listApps = async () => {
    await countCall();
    return wacht.listApps();
  };
  const lists = appLists({
    async listClients(app) {
      await countCall();
      return wacht.listClients(app);
    },
  });

  return {
    config,
    wacht,
    lists,
    looks: openLooks({
      wacht,
      lists,
      known: () => store.lookedBy(id),
      async note(by, why) {
        await store.noteLookedBy(id, by);
        log.info({ deployment: id, by }, `how clients are looked at was found out: ${why}`);
      },
    }),
    issuers: openIssuers(config, listApps, store),
    listApps,
    countCall,
    reachable: patiently(id, async () => void (await listApps())),
    answered: new Map(),
    proverOf(slug) {
      const prover = provers.get(slug);
      if (prover === undefined)
        throw new RekeydError('not_found', `The config has no app ${slug} in deployment ${config.id}.`);
      return prover;
    },
  };
}
