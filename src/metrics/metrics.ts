/**
 * What Prometheus is told of this process. Counters begin at zero with it, as Prometheus expects: each worker is a target of its own, and what all of them did
 * is a sum. The names are part of the contract.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import packageFile from '../../package.json' with { type: 'json' };
import { ENDED_STATES, exposedSeconds, type RotationSummary } from '../core/history.ts';
import { openFleet, type TellFleet } from './fleet.ts';

export interface ApiCall {
  /** Null: no answer came. */
  readonly status: number | null;
  readonly durationMs: number;
}

export interface Metrics {
  /** Every call to the API of a deployment, once it has ended. */
  apiCalled(call: ApiCall): void;
  /** A rotation ended, and its end is committed. Told once for each. */
  rotationEnded(summary: RotationSummary): void;
  /** A try to deliver an event ended. */
  webhookTried(webhook: string, outcome: string): void;
  /** These are the webhooks now: their series begin at zero, and those of others end. */
  webhooksAre(webhooks: readonly string[]): void;
  /** A caller of rekeyd was refused. @param status one of {@link REFUSED_STATUSES} */
  callRefused(status: number): void;
  readonly tellFleet: TellFleet;
  /** In the text format of Prometheus, 0.0.4. */
  text(): Promise<string>;
}

export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Upper ends, in s. A compromise takes seconds where all is well, and an outage of the API is as long as it is. */
const COMPROMISE = [0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600];
const API = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** A rotation waits for caches and for the tokens of the old key: minutes, or days. */
const ROTATION = [5, 30, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 604_800];

/** With one of these statuses a caller of rekeyd is refused. */
export const REFUSED_STATUSES: readonly number[] = [401, 403, 429];

const TRIES = ['delivered', 'failed', 'dead', 'stopped'];

/** @param hasSchedule whether this process starts rotations by the clock */
export function openMetrics(hasSchedule: () => boolean): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const rotations = new Counter({
    ...{ name: 'rekeyd_rotations_total', registers, labelNames: ['outcome'] },
    help: 'Rotations that ended, by what they came to.',
  });
  const rotationSeconds = new Histogram({
    ...{ name: 'rekeyd_rotation_duration_seconds', registers, buckets: ROTATION },
    help: 'From the begin of a rotation until its old key is gone, of those that finished.',
  });
  const compromise = new Histogram({
    ...{ name: 'rekeyd_compromise_seconds', registers, buckets: COMPROMISE },
    help: 'From the report that a key may have leaked until the server was seen to refuse it.',
  });
  const calls = new Counter({
    ...{ name: 'rekeyd_api_requests_total', registers, labelNames: ['status'] },
    help: 'Calls to the APIs of all deployments, by the status of the answer; none where no answer came.',
  });
  const callSeconds = new Histogram({
    ...{ name: 'rekeyd_api_request_duration_seconds', registers, buckets: API },
    help: 'How long those calls took, with those that were not answered.',
  });
  const refused = new Counter({
    ...{ name: 'rekeyd_http_refused_total', registers, labelNames: ['status'] },
    help: 'Calls to rekeyd itself that were turned away, by status.',
  });
  const tries = new Counter({
    ...{ name: 'rekeyd_webhook_deliveries_total', registers, labelNames: ['webhook', 'outcome'] },
    help: 'Tries to deliver an event, by webhook and what came of them.',
  });
  const webhooks = new Set<string>();
  const build = new Gauge({
    ...{ name: 'rekeyd_build_info', registers, labelNames: ['version', 'node'] },
    help: 'Always 1; the labels say which version runs, on which Node.js.',
  });
  new Gauge({
    ...{ name: 'rekeyd_schedule_running', registers },
    help: '1 where this worker starts rotations by the schedules of the policies.',
    collect() {
      this.set(hasSchedule() ? 1 : 0);
    },
  });
  build.set({ version: packageFile.version, node: process.versions.node }, 1);
  // A series that begins with its first failure has no increase that an alert could see.
  for (const outcome of ENDED_STATES) rotations.inc({ outcome }, 0);
  for (const status of REFUSED_STATUSES) refused.inc({ status }, 0);

  return {
    apiCalled({ status, durationMs }) {
      calls.inc({ status: status ?? 'none' });
      callSeconds.observe(durationMs / 1000);
    },
    rotationEnded({ state, startedAt, endedAt, exposure }) {
      rotations.inc({ outcome: state });
      if (state === 'finished' && endedAt !== null) rotationSeconds.observe(Math.max(0, endedAt - startedAt) / 1000);
      const seconds = exposure === undefined ? null : exposedSeconds(exposure);
      if (seconds !== null) compromise.observe(seconds);
    },
    webhookTried: (webhook, outcome) => tries.inc({ webhook, outcome }),
    webhooksAre(names) {
      for (const webhook of new Set([...webhooks, ...names])) {
        const isNew = !webhooks.has(webhook);
        for (const outcome of TRIES) {
          if (!names.includes(webhook)) tries.remove({ webhook, outcome });
          else if (isNew) tries.inc({ webhook, outcome }, 0);
        }
      }
      webhooks.clear();
      for (const name of names) webhooks.add(name);
    },
    tellFleet: openFleet(registry),
    callRefused: (status) => refused.inc({ status }),
    text: () => registry.metrics(),
  };
}
