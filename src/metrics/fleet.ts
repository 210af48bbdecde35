/** What Prometheus is told of the fleet: the same from every worker, because it comes from the store. */
import { Gauge, type Metric, type Registry } from 'prom-client';
import type { ClientRef } from '../core/client.ts';
import { DRIFT_KINDS, type DriftKind } from '../core/drift.ts';
import { CLIENT_STATES, type ClientState } from '../core/state.ts';

/** Seconds of one client. */
export interface OfClient {
  readonly client: ClientRef;
  readonly seconds: number;
}

/** Seconds of all clients that have them. `counts`: how many are not above each bound of {@link AGES} or {@link DUE_IN}. */
export interface Spread {
  readonly counts: readonly number[];
  readonly total: number;
  readonly sum: number;
  /** All, or the {@link FOREMOST} that matter most where there are more than {@link MOST_NAMED} clients. */
  readonly named: readonly OfClient[];
}

export interface FleetNumbers {
  readonly states: Readonly<Record<ClientState, number>>;
  /** Clients of which a key that was reported as compromised is in use, and is not being replaced. */
  readonly compromised: number;
  /** Clients that show what rekeyd did not publish, by kind. One may have several. */
  readonly drifted: Readonly<Record<DriftKind, number>>;
  /** Clients with a rotation that waits for a signer, or is held up by one. */
  readonly signersMissing: number;
  readonly ages: Spread;
  readonly dueIn: Spread;
  /** By deployment. `throttledSeconds`: for how long its API still asks to be left alone; 0 when it does not. */
  readonly deployments: ReadonlyMap<string, { readonly paused: boolean; readonly throttledSeconds: number }>;
  /** By policy: whether its wave was stopped. */
  readonly waves: ReadonlyMap<string, boolean>;
  /** By webhook: entries that wait, dead letters, and whether it cannot be delivered now. */
  readonly webhooks: ReadonlyMap<
    string,
    { readonly pending: number; readonly dead: number; readonly failing: boolean }
  >;
  /** By queue, then by state of a job. */
  readonly queues: ReadonlyMap<string, Readonly<Record<string, number>>>;
  /** How long upkeep should have run by now, in s; 0 when it is on time. */
  readonly upkeepLate: number;
  readonly audit: AuditLogNumbers;
  /** Audit entries that are not sealed yet, and for how long, in s, the oldest of them has not been. */
  readonly unsealed: { readonly entries: number; readonly seconds: number };
}

export interface AuditLogNumbers {
  readonly bytes: number;
  readonly mostBytes: number;
  /** By export: for how long, in s, the next entry should have been there. */
  readonly behind: ReadonlyMap<string, number>;
}

/** More clients are not named one by one: their series would be most of what Prometheus keeps. */
export const MOST_NAMED = 1_000;
export const FOREMOST = 10;

const DAY = 86_400;

/** Upper bounds of the histograms, in s. At or below 0 a key is due. */
export const AGES = [1, 7, 14, 30, 45, 60, 90, 180, 365].map((days) => days * DAY);
export const DUE_IN = [-30, -7, -1, 0, 1, 7, 14, 30, 90, 365].map((days) => days * DAY);

/** Null: the numbers are not known, or not any longer. */
export type TellFleet = (numbers: FleetNumbers | null) => void;

export function openFleet(registry: Registry): TellFleet {
  const registers = [registry];
  const clears: (() => void)[] = [];
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) => {
    const made = new Gauge<T>({ name, help, registers, labelNames });
    // One without labels would say 0 where nothing is known.
    const clear = () => (labelNames.length === 0 ? made.remove() : made.reset());
    clears.push(clear);
    clear();
    return made;
  };
  const clients = gauge('rekeyd_clients', 'Clients by state, as rekeyd status tells them.', ['state']);
  const compromised = gauge(
    'rekeyd_clients_compromised',
    'Clients that sign in with a key that was reported as compromised, and no rotation replaces it.',
  );
  const drifted = gauge(
    'rekeyd_clients_drifted',
    'Clients that show what rekeyd did not publish, until that is repaired or accepted.',
    ['kind'],
  );
  const signers = gauge('rekeyd_clients_signers_missing', 'Clients with a rotation that waits for a signer.');
  const named = 'of each client up to 1,000 clients, else of ten.';
  const age = gauge('rekeyd_key_age_seconds', `How long the key in use has been in use, ${named}`, ['client']);
  const dueIn = gauge('rekeyd_key_due_in_seconds', `Until a schedule rotates the key, ${named}`, ['client']);
  const throttled = gauge('rekeyd_throttled_seconds', 'For how long the API asks to be left alone.', ['deployment']);
  const paused = gauge('rekeyd_deployment_paused', '1 while the API key is refused.', ['deployment']);
  const waves = gauge('rekeyd_wave_stopped', '1 while the wave of the policy waits for a person.', ['policy']);
  const pending = gauge('rekeyd_webhook_pending', 'Audit entries that the webhook was not told of yet.', ['webhook']);
  const dead = gauge('rekeyd_webhook_dead', 'Events that were given up.', ['webhook']);
  const failing = gauge(
    'rekeyd_webhook_failing',
    '1 while nothing can be delivered, or the receiver wants nothing more.',
    ['webhook'],
  );
  const jobs = gauge('rekeyd_queue_jobs', 'Jobs by queue and state.', ['queue', 'state']);
  const late = gauge('rekeyd_upkeep_late_seconds', 'For how long the next run of upkeep has been due.');
  const behind = gauge('rekeyd_audit_export_behind', 'For how long an audit entry should have been exported, in s.', [
    'export',
  ]);
  const logBytes = gauge('rekeyd_audit_log_bytes', 'What the audit log takes of Redis, about.');
  const mostBytes = gauge('rekeyd_audit_log_most_bytes', 'What it may take: audit.most.');
  const unsealed = gauge('rekeyd_audit_unsealed', 'Audit entries that no checkpoint covers yet.');
  const unsealedFor = gauge('rekeyd_audit_unsealed_seconds', 'For how long the oldest of them has waited.');
  const ages = histogram(
    registry,
    'rekeyd_clients_key_age_seconds',
    'As rekeyd_key_age_seconds, of all clients.',
    AGES,
  );
  const dues = histogram(registry, 'rekeyd_clients_key_due_in_seconds', 'As rekeyd_key_due_in_seconds.', DUE_IN);

  return (numbers) => {
    for (const clear of clears) clear();
    ages.spread = numbers?.ages ?? null;
    dues.spread = numbers?.dueIn ?? null;
    if (numbers === null) return;
    for (const state of CLIENT_STATES) clients.set({ state }, numbers.states[state]);
    compromised.set(numbers.compromised);
    for (const kind of DRIFT_KINDS) drifted.set({ kind }, numbers.drifted[kind]);
    signers.set(numbers.signersMissing);
    for (const { client, seconds } of numbers.ages.named) age.set({ client }, seconds);
    for (const { client, seconds } of numbers.dueIn.named) dueIn.set({ client }, seconds);
    for (const [deployment, state] of numbers.deployments) {
      throttled.set({ deployment }, state.throttledSeconds);
      paused.set({ deployment }, state.paused ? 1 : 0);
    }
    for (const [policy, isStopped] of numbers.waves) waves.set({ policy }, isStopped ? 1 : 0);
    for (const [webhook, of] of numbers.webhooks) {
      pending.set({ webhook }, of.pending);
      dead.set({ webhook }, of.dead);
      failing.set({ webhook }, of.failing ? 1 : 0);
    }
    for (const [queue, counts] of numbers.queues) {
      for (const [state, count] of Object.entries(counts)) jobs.set({ queue, state }, count);
    }
    late.set(numbers.upkeepLate);
    for (const [name, seconds] of numbers.audit.behind) behind.set({ export: name }, seconds);
    logBytes.set(numbers.audit.bytes);
    mostBytes.set(numbers.audit.mostBytes);
    unsealed.set(numbers.unsealed.entries);
    unsealedFor.set(numbers.unsealed.seconds);
  };
}

/** A histogram of what is now. prom-client's own only adds up, one value at a time. */
function histogram(registry: Registry, name: string, help: string, bounds: readonly number[]) {
  const shown: { spread: Spread | null } = { spread: null };
  const metric = {
    name,
    async get() {
      return { name, help, type: 'histogram', aggregator: 'omit', values: valuesOf(name, shown.spread, bounds) };
    },
  };
  registry.registerMetric(metric as unknown as Metric); // the registry uses no more of a metric than this
  return shown;
}

function valuesOf(name: string, spread: Spread | null, bounds: readonly number[]) {
  if (spread === null) return [];
  const { counts, total, sum } = spread;
  const bucket = (le: number | string, value: number) => ({ metricName: `${name}_bucket`, labels: { le }, value });
  return [
    ...bounds.map((le, index) => bucket(le, counts[index] ?? 0)),
    bucket('+Inf', total),
    { metricName: `${name}_sum`, labels: {}, value: sum },
    { metricName: `${name}_count`, labels: {}, value: total },
  ];
}
