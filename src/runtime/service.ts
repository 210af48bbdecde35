/** The composition root: everything that `rekeyd start` runs, and how it stops. */
import type { Queues } from '../../jobs/queues.ts';
import type { Config } from '../config/model.ts';
import { type HttpServer, startHttp } from '../http/server.ts';
import { openMetrics } from '../metrics/metrics.ts';
import { misfits } from '../rotation/misfits.ts';
import type { Resources } from '../rotation/resources.ts';
import { openCensus } from '../status/census/census.ts';
import { troublesOf } from '../status/fleet/troubles.ts';
import type { ReloadOutcome } from '../store/presence.ts';
import { isLoginRefused } from '../store/redis/replies.ts';
import { systemClock } from '../time.ts';
import { openApi } from './api.ts';
import { type Crew, type CrewOptions, startCrew } from './crew.ts';
import { type FleetReader, openFleetReader } from './fleet-numbers.ts';
import { type HeartbeatOptions, startHeartbeat } from './heartbeat.ts';
import { opening } from './lifecycle.ts';
import { bePresent } from './presence.ts';
import { readinessOf } from './readiness.ts';
import { type Cause, type ConfigSource, openReloading, type Reloading } from './reload.ts';
import { openStoreHandle } from './resources.ts';
import { type SecretWatch, watchSecrets } from './secret-watch.ts';
import { watchChecks } from './start-checks.ts';
import { stopInTime } from './stopping.ts';
import { openTracesOf } from './traces.ts';

export interface ServiceOptions extends Omit<CrewOptions, 'clock' | 'onRequest' | 'onWebhook' | 'tracing'> {
  readonly clock?: CrewOptions['clock'];
  readonly http: boolean;
  /** What `config` was made of. Absent: there is no file to read again. */
  readonly source?: ConfigSource;
}

/** `resources` and `queues` are those of the config in force. */
export interface Service {
  readonly resources: Resources;
  readonly queues: Queues;
  /** Where the API is, and where what is public is; null without them. */
  readonly url: string | null;
  readonly publicUrl: string | null;
  /** Reads the config file again, and works by it when it can be used. Never rejects. */
  reload(cause: Cause): Promise<ReloadOutcome>;
  /** Drain, then abort; never waits for a Redis that does not answer. A second call waits for the first. */
  stop(): Promise<void>;
}

/** @throws RekeydError; what was started before is stopped again */
export async function startService(config: Config, options: ServiceOptions): Promise<Service> {
  const { log, clock = systemClock, source } = options;
  return opening(log, async (add, close) => {
    const metrics = openMetrics(() => crew().schedule !== null);
    // Closed last: what the others do while they stop is traced too.
    const traces = await openTracesOf(config, log);
    if (traces !== null) add('traces', () => traces.close());
    const handle = await openStoreHandle(config, {
      log,
      onCommit: ({ ended }) => ended.forEach(metrics.rotationEnded),
    });
    add('store', () => handle.close());
    await handle.guard.tryWrite();

    let secrets: SecretWatch | null = null;
    const crewOptions: CrewOptions = {
      ...options,
      clock,
      onRequest(_, call) {
        metrics.apiCalled(call);
        if (call.status === 401 || call.status === 403) secrets?.doubt();
      },
      onWebhook: metrics.webhookTried,
      ...(traces !== null && { tracing: traces }),
    };
    const first = await startCrew(handle, config, crewOptions, true);
    /** Called in this order when another config is in force. */
    const followers: (() => void)[] = [];
    const onSwap = () => {
      for (const follow of followers) follow();
    };
    const reloading = openReloading(handle, first, source ?? null, { ...crewOptions, onSwap });
    add('crew', () => reloading.stop());
    const crew = () => reloading.crew;
    const nameWebhooks = () => metrics.webhooksAre(crew().config.webhooks.map(({ name }) => name));
    nameWebhooks();
    followers.push(nameWebhooks);
    // A store that was restored has missed ticks; one that replaces another may know no client at all.
    handle.guard.onRecovery(() => void crew().schedule?.catchUp(clock.now()));

    const census = openCensus(() => crew().resources);
    add('census', census.stop);
    const fleet = openFleetReader(crew, census, metrics.tellFleet);
    add('fleet numbers', () => fleet.stop());
    const checks = await watchChecks(() => crew().resources);
    add('checks', checks.stop);
    followers.push(checks.again);
    const { problem, obstacle: ready } = readinessOf(reloading, checks);
    add('heartbeat', startHeartbeat(heartbeatOf(crew, ready, fleet)));

    const text = () => fleet.wanted().then(metrics.text);
    const http = options.http
      ? await startHttp({ config: config.http, ready, api: openApi(crew, census, { ...metrics, text }), log })
      : null;
    if (http !== null) {
      add('http', () => http.close());
      followers.push(() => renewCertificates(http, crew().config));
      const { url, publicUrl } = http;
      log.info(url === publicUrl ? { url } : { url, public: publicUrl }, 'listening');
    }
    followers.push(() => tellMisfits(crew().resources));

    // From here on another config may come into force.
    if (source !== undefined) {
      const watch = watchSecrets({ files: () => reloading.watchedFiles, refresh: reloading.refresh });
      secrets = watch;
      add('secrets', watch.stop);
      handle.redis.on('error', (error) => isLoginRefused(error) && watch.doubt());
    }
    const { reload } = reloading;
    const presence = await bePresent(handle.store, { config: () => crew().config, problem, reload });
    add('presence', () => presence.leave());
    tellMisfits(first.resources);

    return serviceOf(reloading, http, () => stopInTime(close, handle, crew().config.shutdownGraceMs, log));
  });
}

function serviceOf(reloading: Reloading, http: HttpServer | null, stop: () => Promise<void>): Service {
  let stopping: Promise<void> | null = null;
  return {
    get resources() {
      return reloading.crew.resources;
    },
    get queues() {
      return reloading.crew.queues;
    },
    url: http?.url ?? null,
    publicUrl: http?.publicUrl ?? null,
    reload: reloading.reload,
    stop() {
      stopping ??= stop();
      return stopping;
    },
  };
}

function renewCertificates(http: HttpServer, { http: { tls } }: Config): void {
  if (tls !== null) http.renew(tls);
}

function heartbeatOf(crew: () => Crew, ready: () => Promise<string | null>, fleet: FleetReader): HeartbeatOptions {
  return {
    log: crew().resources.log,
    config: () => crew().config.alerts.heartbeat,
    async troubles() {
      const obstacle = await ready();
      if (obstacle !== null) return [obstacle];
      const numbers = await fleet.wanted();
      return numbers === null ? null : troublesOf(numbers);
    },
  };
}

/** Rotations that would fail are told of before they do. */
function tellMisfits({ config, facts, log }: Resources): void {
  for (const { app, policy, kind, problem } of misfits(config, facts.ofApp)) {
    if (kind === 'refused') log.error({ app, policy }, `the policy asks for what the server does not do: ${problem}`);
    else log.warn({ app, policy }, problem);
  }
}
