/** The numbers of the fleet for `/metrics`: read when somebody asks, and of a large fleet beside the answer, which tells what was read last. */
import type { Queues } from '../../jobs/queues.ts';
import { byScope } from '../core/pause.ts';
import { messageOf } from '../errors.ts';
import { type FleetNumbers, MOST_NAMED, type TellFleet } from '../metrics/fleet.ts';
import type { Resources } from '../rotation/resources.ts';
import { type Census, soon } from '../status/census/census.ts';
import { numbersOf } from '../status/census/numbers.ts';
import { auditLogStatus } from '../status/fleet/audit-log.ts';
import { isFailing, webhookStatuses } from '../status/fleet/webhooks.ts';
import { monotonic, systemClock, untilAborted } from '../time.ts';

export interface FleetReader {
  /** Starts a reading when the last one is old. Resolves with the new numbers of a small fleet, and with the last ones of a large fleet; null: there are none. */
  wanted(): Promise<FleetNumbers | null>;
  stop(): Promise<void>;
}

/** Parts of the config in force. */
interface Parts {
  readonly resources: Resources;
  readonly queues: Queues;
}

/** The numbers are read again when they are this many times as old as the reading took. */
const TIMES = 20;

/** Numbers that are older, in ms, are not told: an alert tells that they are missing. */
const OLDEST_MS = 5 * 60_000;

const JOB_STATES = ['waiting', 'prioritized', 'active', 'delayed', 'failed'] as const;

interface Reading {
  readonly numbers: FleetNumbers;
  readonly at: number;
  readonly tookMs: number;
  /** The next one may be waited for. */
  readonly isSmall: boolean;
}

/** @param census shared with the page */
export function openFleetReader(current: () => Parts, census: Pick<Census, 'whole'>, tell: TellFleet): FleetReader {
  const ended = new AbortController();
  let reading: Promise<void> | null = null;
  let last: Reading | null = null;
  let isFailing = false;

  async function read(): Promise<void> {
    const beganAt = monotonic();
    try {
      // A Redis that does not answer must not keep the service from stopping.
      const numbers = await untilAborted(numbersNow(census, current(), ended.signal), ended.signal);
      tell(numbers);
      const clients = Object.values(numbers.states).reduce((sum, count) => sum + count, 0);
      last = { numbers, at: monotonic(), tookMs: monotonic() - beganAt, isSmall: clients <= MOST_NAMED };
      isFailing = false;
    } catch (error) {
      if (!(isFailing || ended.signal.aborted)) {
        current().resources.log.warn({ error: messageOf(error) }, 'the numbers of the fleet could not be read');
      }
      isFailing = true;
    }
    reading = null;
  }

  return {
    async wanted() {
      if (ended.signal.aborted) return null;
      const age = last === null ? Number.POSITIVE_INFINITY : monotonic() - last.at;
      if (age > OLDEST_MS) {
        last = null;
        tell(null);
      }
      if (last === null || age >= last.tookMs * TIMES) reading ??= read();
      if (reading !== null && (last === null || last.isSmall)) await soon(reading, ended.signal);
      return last?.numbers ?? null;
    },
    async stop() {
      ended.abort();
      await reading;
    },
  };
}

async function numbersNow(
  census: Pick<Census, 'whole'>,
  { resources, queues }: Parts,
  signal: AbortSignal,
): Promise<FleetNumbers> {
  const { store, config } = resources;
  const known = await census.whole(signal);
  const ids = config.deployments.map(({ id }) => id);
  const now = await store.now();
  const [deployments, pauses, unsealed, log] = await Promise.all([
    store.deploymentStates(ids),
    store.pauses(),
    store.auditUnsealed(),
    auditLogStatus(resources),
  ]);
  const counted = await numbersOf(known, { now, deployments, pauses: byScope(pauses, now) });
  const waves = Object.keys(config.policies).map(async (policy) => {
    const found = await store.wave(policy);
    return [policy, found?.wave.phase === 'stopped'] as const;
  });
  return {
    ...counted,
    deployments: new Map(
      [...deployments].map(([id, { paused, throttledUntil }]) => [
        id,
        { paused: paused !== null, throttledSeconds: Math.max(0, ((throttledUntil ?? now) - now) / 1000) },
      ]),
    ),
    waves: new Map(await Promise.all(waves)),
    webhooks: new Map(
      (await webhookStatuses(config, store)).map((status) => [
        status.webhook,
        { pending: status.pending, dead: status.dead, failing: isFailing(status) },
      ]),
    ),
    queues: await jobsIn(queues, ids),
    upkeepLate: await upkeepLate(queues),
    audit: {
      bytes: log.bytes,
      mostBytes: log.most_bytes,
      behind: new Map(log.exports.map(({ export: name, behind_seconds: seconds }) => [name, seconds])),
    },
    unsealed: { entries: unsealed.entries, seconds: unsealed.sinceMs / 1000 },
  };
}

/** In seconds; 0 where upkeep is not planned yet. */
async function upkeepLate(queues: Queues): Promise<number> {
  const plannedAt = await queues.upkeepAt();
  return plannedAt === null ? 0 : Math.max(0, systemClock.now() - plannedAt) / 1000;
}

async function jobsIn(
  queues: Queues,
  deployments: readonly string[],
): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>> {
  const all = [...queues.inboxes, queues.upkeep, ...deployments.map((id) => queues.rotateQueue(id))];
  const counts = all.map(async (queue) => [queue.name, await queue.getJobCounts(...JOB_STATES)] as const);
  return new Map(await Promise.all(counts));
}
