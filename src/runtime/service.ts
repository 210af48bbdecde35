/** The composition root: everything that `rekeyd start` runs, and how it stops. */
import type { Queues } from '../../jobs/queues.ts';
import type { Config } from '../config/model.ts';
import { messageOf } from '../errors.ts';
import { startHttp } from '../http/server.ts';
import { openMetrics } from '../metrics/metrics.ts';
import { misfits } from '../rotation/misfits.ts';
import type { Resources } from '../rotation/resources.ts';
import { openCensus } from '../status/census/census.ts';
import { troublesOf } from '../status/fleet/troubles.ts';
import type { ReloadOutcome } from '../store/presence.ts';
import { isLoginRefused } from '../store/redis/replies.ts';
import { sleep, systemClock } from '../time.ts';
import { openApi } from './api.ts';
import { type Crew, type CrewOptions, startCrew } from './crew.ts';
import { type FleetReader, openFleetReader } from './fleet-numbers.ts';
import { type HeartbeatOptions, startHeartbeat } from './heartbeat.ts';
import { opening } from './lifecycle.ts';
import { bePresent } from './presence.ts';
import { type Cause, type ConfigSource, openReloading } from './reload.ts';
import { openStoreHandle } from './resources.ts';
import { type SecretWatch, watchSecrets } from './secret-watch.ts';
import { type StartChecks, watchChecks } from './start-checks.ts';
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

/** How long a readiness check may take, in ms. */
const READY_MS = 2_000;

/** @throws RekeydError; what was started before is stopped again */
export async function startService(config: Config, options: ServiceOptions): Promise<Service> {
  const { log, clock = systemClock, source } = options;
  return opening(log, async (add, stop) => {
    const metrics = openMetrics(() => reloading.crew.schedule !== null);
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
    let checks: StartChecks | null = null;
    let renew = () => {};
    const onRequest: CrewOptions['onRequest'] = (_, call) => {
      metrics.apiCalled(call);
      const { status } = call;
      if (status === 401 || status === 403) secrets?.doubt();
    };
    const tracing = traces === null ? {} : { tracing: traces };
    const crewOptions = { ...options, clock, onRequest, onWebhook: metrics.webhookTried, ...tracing };
    const first = await startCrew(handle, config, crewOptions, true);
    const nameWebhooks = ({ webhooks }: Config) => metrics.webhooksAre(webhooks.map(({ name }) => name));
    nameWebhooks(config);
    const onSwap = () => {
      nameWebhooks(reloading.crew.config);
      checks?.again();
      renew();
      tellMisfits(reloading.crew.resources);
    };
    const reloading = openReloading(handle, first, source ?? null, { ...crewOptions, onSwap });
    add('crew', () => reloading.stop());
    const census = openCensus(() => reloading.crew.resources);
    add('census', census.stop);
    const fleet = openFleetReader(() => reloading.crew, census, metrics.tellFleet);
    add('fleet numbers', () => fleet.stop());
    // A store that was restored has missed ticks; one that replaces another may know no client at all.
    handle.guard.onRecovery(() => void reloading.crew.schedule?.catchUp(clock.now()));
    checks = await watchChecks(() => reloading.crew.resources);
    add('checks', checks.stop);
    const problem = () => reloading.problem ?? checks?.problem ?? null;
    const ready = async () => (await obstacleOf(reloading.crew.resources)) ?? problem();
    add('heartbeat', startHeartbeat(heartbeatOf(() => reloading.crew, ready, fleet)));
    let url: string | null = null;
    let publicUrl: string | null = null;
    let stopping: Promise<void> | null = null;
    if (options.http) {
      const http = await startHttp({
        config: config.http,
        ready,
        api: openApi(() => reloading.crew, census, { ...metrics, text: () => fleet.wanted().then(metrics.text) }),
        log,
      });
      add('http', () => http.close());
      ({ url, publicUrl } = http);
      renew = () => {
        const { tls } = reloading.crew.config.http;
        if (tls !== null) http.renew(tls);
      };
      log.info(url === publicUrl ? { url } : { url, public: publicUrl }, 'listening');
    }
    if (source !== undefined) {
      secrets = watchSecrets({ files: () => reloading.watchedFiles, refresh: reloading.refresh });
      add('secrets', secrets.stop);
      const { doubt } = secrets;
      handle.redis.on('error', (error) => isLoginRefused(error) && doubt());
    }
    const presence = await bePresent(handle.store, {
      config: () => reloading.crew.config,
      problem,
      reload: reloading.reload,
    });
    add('presence', () => presence.leave());
    tellMisfits(first.resources);
    return {
      get resources() {
        return reloading.crew.resources;
      },
      get queues() {
        return reloading.crew.queues;
      },
      url,
      publicUrl,
      reload: reloading.reload,
      stop() {
        stopping ??= stopInTime(stop, handle, reloading.crew.config.shutdownGraceMs, log);
        return stopping;
      },
    };
  });
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

async function obstacleOf(resources: Resources): Promise<string | null> {
  const asked = new AbortController();
  const answered = resources.guard.tryWrite().then(
    () => null,
    (error) => messageOf(error),
  );
  const late = sleep(READY_MS, asked.signal).then(() => resources.guard.problem?.message ?? 'Redis does not answer.');
  try {
    return await Promise.race([answered, late]);
  } finally {
    asked.abort();
  }
}
