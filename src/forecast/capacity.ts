/**
 * What a deployment's rate limit makes of a fleet: how long it takes to rotate all of it, and whether that can be done within its period and its
 * windows. Retries are not counted, nor the waits that each rotation has for itself.
 */
import { formatDuration } from '../core/duration.ts';
import { longestPause, looksOf, mayOverlap, type TimedPolicy, type Warning } from './warnings.ts';

/** The clients of one policy in one deployment. */
export interface PolicyShare {
  /** Name of the policy. */
  readonly name: string;
  readonly policy: TimedPolicy;
  /** As for {@link policyWarnings}. */
  readonly ticks: readonly number[];
  readonly clients: number;
}

export interface RateLimit {
  readonly max: number;
  readonly perMs: number;
}

export interface Capacity {
  readonly clients: number;
  /** Until the last client's rotation had all its turns, in ms, when all of them start at once. */
  readonly rotationMs: number;
  /** Until the last compromised key is refused, in ms, when every client is rotated with `--compromised`. */
  readonly compromiseMs: number;
  /** The part of the rate limit that scheduled rotations use, all in all: above 1 they can never keep up. */
  readonly load: number;
}

/** API calls of one rotation: before each PATCH comes a look. An overlap sends two PATCHes, a cutover one. */
export function callsOf(policy: Pick<TimedPolicy, 'strategy' | 'format'>): number {
  return mayOverlap(policy) ? 4 : 2;
}

/** A compromised key goes with one PATCH. */
const COMPROMISE_CALLS = 2;

type Share = Pick<PolicyShare, 'policy' | 'clients'>;

export function capacityOf(groups: readonly Share[], limit: RateLimit): Capacity {
  const callMs = limit.perMs / limit.max;
  const sum = (of: (group: Share) => number) => groups.reduce((total, group) => total + of(group), 0);
  const clients = sum((group) => group.clients);
  return {
    clients,
    rotationMs: sum((group) => group.clients * callsOf(group.policy)) * callMs,
    compromiseMs: clients * COMPROMISE_CALLS * callMs,
    load: sum(({ clients, policy }) => (clients * callsOf(policy)) / policy.rotateEveryMs) * callMs,
  };
}

/** About the deployment: its rate limit is shared by the clients of all policies. */
export function limitWarnings(groups: readonly PolicyShare[], limit: RateLimit): readonly Warning[] {
  const { load, clients } = capacityOf(groups, limit);
  if (load <= 1) return [];
  const needed = Math.ceil(load * limit.max);
  const message =
    `rotating ${clients} clients on time takes ${load.toFixed(1)} times the ${limit.max} requests in ${formatDuration(limit.perMs)}: rotations wait for ` +
    `each other ever longer, and keys grow older than rotate_every. Raise max to ${needed} and more if the API allows it, or make rotate_every longer`;
  return [{ code: 'rate_limit_too_low', setting: 'rate_limit', message }];
}

/** What Wacht allows all API keys of a deployment together, in calls a rolling minute. */
const PLATFORM_CALLS = 1_000;
const MINUTE_MS = 60_000;

/** About a deployment: the platform sends those away that call more often. */
export function platformWarnings({ max, perMs }: RateLimit): readonly Warning[] {
  // A bucket that is full gives all it has beside what comes in.
  const most = max + Math.floor((max * MINUTE_MS) / perMs);
  if (most <= PLATFORM_CALLS) return [];
  const message =
    `${max} requests in ${formatDuration(perMs)} make up to ${most} in a minute, and Wacht allows all API keys of a deployment ${PLATFORM_CALLS} together by default: ` +
    'the rest is turned away. Lower it, unless your platform allows more';
  return [{ code: 'rate_limit_too_high', setting: 'rate_limit', message }];
}

/** The clocks make one day of a year an hour longer. */
const CLOCKS_MS = 3_600_000;

/** About one policy: a rotation that is started inside a window takes its turns when the rate limit lets it, inside or not. */
export function windowWarnings({ policy, ticks, clients }: PolicyShare, { max, perMs }: RateLimit): readonly Warning[] {
  const looks = looksOf(policy, ticks);
  const pause = longestPause(looks);
  const open = Math.min(...looks.filter(({ after }) => after >= pause - CLOCKS_MS).map((look) => look.open));
  // Where nothing is spread, all may come due together.
  const spread = Math.min(policy.splayMs, policy.rotateEveryMs / 2);
  const together = Math.ceil(clients * Math.min(1, pause / spread));
  const takes = (together * callsOf(policy) * perMs) / max;
  if (takes <= open) return [];
  const message =
    `${together} clients may be due at one look of the schedule, and their rotations take ${formatDuration(takes)} at ${max} requests in ` +
    `${formatDuration(perMs)}: they go on after the window has closed, ${formatDuration(open)} after that look. Let the schedule look earlier, make ` +
    'windows or splay longer, or raise rate_limit if the API allows it';
  return [{ code: 'window_too_short', setting: 'windows', message }];
}
