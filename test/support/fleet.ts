/** A small fleet to run the whole service against: a private Redis, a local Wacht, a config, clients, and eyes on the store. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { openQueues, type Queues } from '../../jobs/queues.ts';
import type { RequestResult } from '../../jobs/request.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/model.ts';
import type { AuditEntry } from '../../src/core/audit.ts';
import { type ClientRef, makeReference } from '../../src/core/client.ts';
import type { RotationState, RotationSummary } from '../../src/core/history.ts';
import type { Algorithm } from '../../src/core/keys.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { runningSummary } from '../../src/core/rotation.ts';
import { importKey } from '../../src/rotation/import.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import type { Resources } from '../../src/rotation/resources.ts';
import { createLog } from '../../src/runtime/log.ts';
import { openResources } from '../../src/runtime/resources.ts';
import { type Service, type ServiceOptions, startService } from '../../src/runtime/service.ts';
import { type Clock, systemClock } from '../../src/time.ts';
import type { LogEntry } from '../emulator/log.ts';
import { isChange } from '../emulator/log.ts';
import { type Emulator, type EmulatorOptions, startEmulator } from '../emulator/server.ts';
import type { App, Selection } from '../emulator/state.ts';
import { makeKey, type makePair, type TestKey, withPem } from '../emulator/testing.ts';
import { answered } from './jobs.ts';
import { openHandles } from './leaks.ts';
import { type RedisServer, type RedisSetup, startRedis } from './redis.ts';
import { LATENCY_MS } from './slowness.ts';
import { until, witness } from './until.ts';

// A machine that is busy with everything else must not fail a test that waits for what will come.
vi.setConfig({ testTimeout: 120_000 });

export const DEPLOYMENT = '185019846023';
export const KEK = Buffer.alloc(32, 7).toString('base64url');

/** An app and the policy of its clients; members that are absent are as in {@link QUICK}. */
export interface FleetApp {
  readonly slug: string;
  readonly selection: Selection;
  readonly deployment?: string;
  readonly policy?: Readonly<Record<string, unknown>>;
}

export const PEM_APP: FleetApp = { slug: 'pem-app', selection: 'first_pem' };
export const KID_APP: FleetApp = { slug: 'kid-app', selection: 'jwks_kid', policy: { strategy: 'overlap' } };

/** Waits that a test can sit out. Nothing is scheduled unless a test says so. */
const QUICK = { schedule: '0 0 1 1 *', propagation: '100ms', overlap: '300ms' };
const SWIFT = { rate_limit: { max: 1000, per: '1s' }, backoff: { base: '40ms', max: '400ms' } };

export interface FleetOptions {
  readonly apps?: readonly FleetApp[];
  readonly redis?: RedisSetup;
  readonly emulator?: EmulatorOptions;
  /** Laid over the config file, and over each of its deployments. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly deployment?: Readonly<Record<string, unknown>>;
}

export interface FleetClient {
  readonly ref: ClientRef;
  readonly app: FleetApp;
  /** Row id. */
  readonly id: string;
  readonly clientId: string;
  /** The key that was published first. */
  readonly key: TestKey;
  /** Where its signers find their keys. */
  readonly folder: string;
}

type Members = Readonly<Record<string, unknown>>;

export interface NewClient {
  readonly alg?: Algorithm;
  /** Of its key; absent: a new one. RSA pairs take long to make: clients of a large fleet may share some. */
  readonly pair?: ReturnType<typeof makePair>;
  /** False: it is held. */
  readonly enroll?: boolean;
  /** Members of the create body, or what they are of the key, in place of a JWK Set with the key and its PEM. */
  readonly members?: Members | ((key: TestKey) => Members);
}

export interface Fleet {
  readonly dir: string;
  readonly redis: RedisServer;
  readonly emulator: Emulator;
  readonly config: Config;
  /** The test's own connection, which outlives every service. */
  readonly resources: Resources;
  readonly queues: Queues;
  /** What the services logged, one JSON text per line. */
  readonly lines: string[];
  /** The config file as data, for variants of it; see {@link Fleet.configOf}. */
  readonly file: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string>>;
  configOf(file: Readonly<Record<string, unknown>>, more?: Readonly<Record<string, string>>): Promise<Config>;
  /** A client whose key nobody has given to rekeyd. */
  foreign(app: FleetApp, client?: NewClient): Promise<FleetClient>;
  /** A client whose key rekeyd was given, and has handed to its signers, who take their keys from it from then on. */
  managed(app: FleetApp, client?: NewClient): Promise<FleetClient>;
  /** Stopped at the latest when the test ends. */
  start(options?: Partial<ServiceOptions>, config?: Config): Promise<Service>;
  /** Asks for rotations as a command does; answers what the job returned. */
  request(data: object): Promise<RequestResult>;
  /** Asks for the rotation of one client; answers its id. */
  rotate(client: FleetClient, more?: object): Promise<string>;
  record(client: FleetClient): Promise<ClientRecord>;
  rotation(client: FleetClient, id: string): Promise<RotationSummary | undefined>;
  /** Waits until the rotation is in that state. @throws when it ended in another one */
  reached(client: FleetClient, id: string, state?: RotationState): Promise<RotationSummary>;
  audit(): Promise<AuditEntry[]>;
  /** The server of the app becomes another one. */
  become(app: FleetApp, selection: Selection): void;
  /** PATCHes of this client, in order of arrival. */
  patches(client: FleetClient): LogEntry[];
}

/** A rotation has many steps, and a request many clients; either may meet a failover. In ms. */
const WHOLE_ROTATION_MS = 30_000;

const ENDED: readonly RotationState[] = ['finished', 'failed', 'rolled_back'];

/** Everything is stopped and removed when the test ends; the test fails when something is left open. */
export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  const before = openHandles();
  const releases: (() => unknown)[] = [];
  onTestFinished(async () => {
    for (const release of releases.reverse()) await release();
    await until(
      `closing everything (open before: ${before}, now: ${openHandles()})`,
      () => openHandles() <= before,
      10_000,
    );
  });

  const { apps = [PEM_APP, KID_APP] } = options;
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-fleet-'));
  releases.push(() => rm(dir, { recursive: true, force: true }));
  const redis = await startRedis(options.redis);
  releases.push(() => redis.stop());
  const emulator = await startEmulator({ latencyMs: LATENCY_MS, ...options.emulator });
  releases.push(() => emulator.close());
  const served = new Map<string, App>();
  for (const { slug, selection, deployment = DEPLOYMENT } of apps) {
    served.set(`${deployment}/${slug}`, emulator.addApp({ deployment, slug, selection }));
    emulator.setApiKey(deployment, apiKeyOf(deployment));
  }
  const { file, env } = configFile(options, apps, dir, redis, emulator);
  const configOf = (changed: object, more: Readonly<Record<string, string>> = {}) =>
    parseConfig(JSON.stringify(changed), { file: join(dir, 'rekeyd.yaml'), env: { ...env, ...more } });
  const config = await configOf(file);
  const lines: string[] = [];
  releases.push(witness(() => lines.slice(-5).join('')));
  const log = createLog({ level: 'debug', destination: { write: (line: string) => void lines.push(line) } });
  const resources = await openResources(config, { log, clock: systemClock });
  releases.push(() => resources.close());
  const queues = openQueues(
    resources,
    config.deployments.map(({ id }) => id),
    () => {},
  );
  releases.push(() => queues.close());

  async function foreign(app: FleetApp, { alg = 'ES256', pair, members }: NewClient = {}): Promise<FleetClient> {
    const { slug, deployment = DEPLOYMENT } = app;
    const key = makeKey(alg, pair);
    const given = typeof members === 'function' ? members(key) : members;
    const material = given ?? { jwks: { keys: [withPem(key)] } };
    const { id, client_id: clientId } = emulator.addClient({ deployment, app: slug, alg, ...material });
    const folder = join(dir, 'data', 'keys', deployment, slug, id);
    return { ref: makeReference(deployment, slug, id), app, id, clientId, key, folder };
  }

  async function record(client: FleetClient): Promise<ClientRecord> {
    const loaded = await resources.store.load(client.ref);
    if (loaded === null) throw new Error(`${client.ref} is not known`);
    return loaded.record;
  }

  async function rotation(client: FleetClient, id: string): Promise<RotationSummary | undefined> {
    const record = (await resources.store.load(client.ref))?.record;
    if (record?.rotation?.id === id) return runningSummary(record, record.rotation);
    const leaving = record?.retirements.find((old) => old.rotation.id === id && old.role === 'replaced');
    return leaving?.rotation ?? (await resources.store.history(client.ref)).find((summary) => summary.id === id);
  }

  async function request(data: object): Promise<RequestResult> {
    const id = await queues.request({ v: 1, reason: 'a test', actor: 'test', ...data });
    return answered(queues.requests, id, WHOLE_ROTATION_MS);
  }

  return {
    dir,
    redis,
    emulator,
    config,
    resources,
    queues,
    lines,
    file,
    env,
    configOf,
    foreign,
    async managed(app, client) {
      const made = await foreign(app, client);
      const pem = made.key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
      const cause = { actor: 'test', reason: 'import', request: null };
      const alg = client?.alg === undefined ? {} : { alg: client.alg };
      await importKey(resources, keksOf(config), {
        ref: made.ref,
        text: pem,
        cause,
        // Some tests make clients that nobody can sign in as.
        unproven: true,
        enroll: client?.enroll ?? true,
        ...alg,
      });
      return made;
    },
    async start(more = {}, changed = config) {
      // A checkpoint is an entry too: tests that are not about the seal count others.
      const options = { log, schedule: false, worker: true, http: false, sealEveryMs: null, ...more };
      const service = await startService(changed, options);
      releases.push(() => service.stop());
      return service;
    },
    request,
    async rotate(client, more = {}) {
      const { rotations, errors } = await request({ select: { clients: [client.ref] }, ...more });
      const [only] = rotations;
      if (only === undefined) throw new Error(`nothing was started: ${JSON.stringify(errors)}`);
      return only.id;
    },
    record,
    rotation,
    reached(client, id, state = 'finished') {
      return until(
        `rotation ${id} of ${client.ref} is ${state}`,
        async (saw) => {
          const summary = saw(await rotation(client, id));
          // One that is finished was active before, maybe between two looks.
          const states = state === 'active' ? ['active', 'finished'] : [state];
          if (summary === undefined || states.includes(summary.state)) return summary;
          if (ENDED.includes(summary.state)) {
            throw new Error(`the rotation is ${summary.state}, not ${state}: ${summary.error}`);
          }
          return null;
        },
        WHOLE_ROTATION_MS,
      );
    },
    become({ slug, deployment = DEPLOYMENT }, selection) {
      const app = served.get(`${deployment}/${slug}`);
      if (app === undefined) throw new Error(`there is no app ${slug}`);
      app.selection = selection;
    },
    audit: () => resources.store.auditAfter(0, 1_000_000),
    patches: ({ id }) => emulator.log.filter((call) => isChange(call) && call.client === id),
  };
}

export function apiKeyOf(deployment: string): string {
  return `api-key-of-${deployment}`;
}

/** A clock that is wrong by `offset` ms, which may change at any time. */
export function wrongClock(offset: number): Clock & { offset: number } {
  return {
    offset,
    now() {
      return Date.now() + this.offset;
    },
  };
}

/** Moves the clock of a service's store. Redis itself cannot be moved: deadlines that its scripts compute stay. @returns sets how far, in ms */
export function movedStoreClock({ resources: { store } }: Pick<Service, 'resources'>): (ms: number) => void {
  const { now } = store;
  let moved = 0;
  store.now = async () => (await now()) + moved;
  return (ms) => {
    moved = ms;
  };
}

function configFile(
  options: FleetOptions,
  apps: readonly FleetApp[],
  dir: string,
  redis: RedisServer,
  emulator: Emulator,
) {
  const env: Record<string, string> = { KEK };
  const deployments = [...new Set(apps.map(({ deployment = DEPLOYMENT }) => deployment))].map((id) => {
    env[`API_KEY_${id}`] = apiKeyOf(id);
    return {
      id,
      api_url: emulator.url,
      api_key: `env:API_KEY_${id}`,
      ...SWIFT,
      ...options.deployment,
      apps: apps
        .filter(({ deployment = DEPLOYMENT }) => deployment === id)
        .map(({ slug }) => ({
          slug,
          issuer: `https://${slug}.example.com`,
          resolve: { [`${slug}.example.com`]: emulator.url },
          policy: slug,
        })),
    };
  });
  const file: Record<string, unknown> = {
    data_dir: join(dir, 'data'),
    // Other tests run beside this one, and perhaps a rekeyd of this machine.
    http: { listen: '127.0.0.1:0' },
    redis: { url: `unix://${redis.socketPath}` },
    encryption: { keks: [{ id: 'kek-1', key: 'env:KEK' }] },
    reconcile_every: '1s',
    ...options.config,
    deployments,
    policies: Object.fromEntries(apps.map(({ slug, policy }) => [slug, { ...QUICK, ...policy }])),
  };
  return { file, env };
}
