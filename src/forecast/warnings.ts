/**
 * Whether what a policy asks for can be had at all. Arithmetic over settings, before anything runs: each warning says what would happen, and what
 * to change. Nothing here keeps rekeyd from starting.
 */
import { type Calendar, longestFreeze } from '../core/calendar.ts';
import { formatDuration } from '../core/duration.ts';
import type { Policy } from '../core/policy.ts';
import { inWindows, openFor, openingsOf } from '../core/window.ts';

export interface Warning {
  readonly code:
    | 'never_in_window'
    | 'sweeps_too_rare'
    | 'overdue_before_rotated'
    | 'splay_too_long'
    | 'rotations_run_together'
    | 'overlap_too_short'
    | 'propagation_too_short'
    | 'not_proven'
    | 'takes_over'
    | 'keys_too_old'
    | 'rate_limit_too_high'
    | 'rate_limit_too_low'
    | 'window_too_short';
  /** The one to look at first, as it is written in the config. */
  readonly setting: string;
  readonly message: string;
}

/** A policy with its times. */
export interface TimedPolicy
  extends Pick<
      Policy,
      | 'adopt'
      | 'strategy'
      | 'format'
      | 'prove'
      | 'rotateEveryMs'
      | 'mustByMs'
      | 'splayMs'
      | 'propagationMs'
      | 'overlapMs'
    >,
    Calendar {}

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;

/** Each window opens at least once in this time. A week, and an hour for the clocks. */
const EVERY_WINDOW_MS = 8 * DAY;

/** Wacht takes an assertion for 300 s, and for 60 s more for clocks that differ. */
const ASSERTION_MS = 6 * MINUTE;

/** For how long servers commonly keep a set that they fetched. */
const CACHED_MS = 5 * MINUTE;

/** The longest cryptoperiod of a private signature key in NIST SP 800-57 part 1, table 1. */
const LONGEST_PERIOD_MS = 3 * 365 * DAY;

/** @param ticks when the schedule next looks for what is due, in ms since the epoch, in order: a few dozen or more */
export function policyWarnings(policy: TimedPolicy, ticks: readonly number[]): readonly Warning[] {
  const checks = [splay, runningTogether, shortOverlap, shortPropagation, unproven, takingOver, oldKeys];
  const timed = [schedule, overdue].map((check) => check(policy, ticks));
  return [...timed, ...checks.map((check) => check(policy))].filter((warning) => warning !== null);
}

/** A tick that may start rotations: how long after the one before, and for how long its window stays open. In ms; Infinity without windows. */
export interface Look {
  readonly after: number;
  readonly open: number;
}

/** None: not one of the ticks may start a rotation. */
export function looksOf({ windows, timezone }: TimedPolicy, ticks: readonly number[]): readonly Look[] {
  const openings = openingsOf(windows);
  const span = (ticks.at(-1) ?? 0) - (ticks[0] ?? 0);
  // Ticks that do not reach over a week come thick and fast: they meet every window as it opens.
  if (span < EVERY_WINDOW_MS && openings.length > 0) {
    return openings.map(({ closed, open }) => ({ after: closed, open }));
  }
  const usable = ticks.filter((tick) => inWindows(windows, timezone, tick));
  return usable.slice(1).map((tick, index) => ({
    after: tick - (usable[index] ?? tick),
    open: openings.length === 0 ? Number.POSITIVE_INFINITY : openFor(windows, timezone, tick),
  }));
}

/** Infinity when there are none. */
export function longestPause(looks: readonly Look[]): number {
  return looks.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...looks.map(({ after }) => after));
}

function schedule(policy: TimedPolicy, ticks: readonly number[]): Warning | null {
  if (ticks.length < 2) return null;
  const gap = longestPause(looksOf(policy, ticks));
  if (gap === Number.POSITIVE_INFINITY) {
    const message =
      'the schedule never looks inside one of the windows, so it never starts a rotation: move it into them, or the windows around it';
    return { code: 'never_in_window', setting: 'schedule', message };
  }
  if (gap < policy.rotateEveryMs) return null;
  const message =
    `the schedule starts rotations up to ${formatDuration(gap)} apart, and keys are due after ${formatDuration(policy.rotateEveryMs)}: one that ` +
    `comes due just after a look grows ${formatDuration(gap + policy.rotateEveryMs)} old. Let it look at least twice in rotate_every` +
    `${policy.windows.length === 0 ? '' : ', inside the windows'}, or make rotate_every longer`;
  return { code: 'sweeps_too_rare', setting: 'schedule', message };
}

/** Looks that come more rarely than keys are due have a warning of their own. */
function overdue(policy: TimedPolicy, ticks: readonly number[]): Warning | null {
  const { rotateEveryMs, mustByMs, freeze } = policy;
  const gap = longestPause(looksOf(policy, ticks));
  const frozen = longestFreeze(freeze);
  const age = rotateEveryMs + gap + frozen;
  if (ticks.length < 2 || gap >= rotateEveryMs || age <= mustByMs) return null;
  const message =
    `a key that comes due just after a look grows up to ${formatDuration(age)} old` +
    `${frozen === 0 ? '' : `, the longest freeze of ${formatDuration(frozen)} included`}, and counts as overdue after ${formatDuration(mustByMs)}. ` +
    'Make must_by longer, or rotate_every, windows or freeze shorter';
  return { code: 'overdue_before_rotated', setting: 'must_by', message };
}

function splay({ splayMs, rotateEveryMs }: TimedPolicy): Warning | null {
  if (splayMs <= rotateEveryMs / 2) return null;
  const message =
    `it is longer than half of rotate_every and cut to ${formatDuration(rotateEveryMs / 2)}; only new clients are spread over all of it, and some ` +
    `wait ${formatDuration(splayMs)} for their first rotation. Make it at most half of rotate_every`;
  return { code: 'splay_too_long', setting: 'splay', message };
}

function runningTogether(policy: TimedPolicy): Warning | null {
  const { propagationMs, overlapMs, rotateEveryMs } = policy;
  const takes = (mayOverlap(policy) ? propagationMs : 0) + overlapMs;
  if (takes < rotateEveryMs) return null;
  const good = mayOverlap(policy) ? 'the server accepts' : 'signers hold';
  const message =
    `a rotation takes ${formatDuration(takes)} and the next is due after ${formatDuration(rotateEveryMs)}: ${good} up to ` +
    `${Math.ceil(takes / rotateEveryMs) + 1} keys of a client, and no key is gone in time. Make overlap shorter, or rotate_every longer`;
  return { code: 'rotations_run_together', setting: 'overlap', message };
}

function shortOverlap(policy: TimedPolicy): Warning | null {
  if (!mayOverlap(policy) || policy.overlapMs >= ASSERTION_MS) return null;
  const message =
    `an assertion that was signed with the old key just before the change is good for up to ${formatDuration(ASSERTION_MS)}, and is refused when ` +
    `the key goes after ${formatDuration(policy.overlapMs)}. Make it at least ${formatDuration(ASSERTION_MS)}, and add the time that signers take to reload`;
  return { code: 'overlap_too_short', setting: 'overlap', message };
}

function shortPropagation(policy: TimedPolicy): Warning | null {
  if (policy.format !== 'jwks_uri' || !mayOverlap(policy) || policy.propagationMs >= CACHED_MS) return null;
  const message =
    `a server that still holds the set it fetched before does not know the new key after ${formatDuration(policy.propagationMs)}: its proof is ` +
    `refused, and the rotation rolled back. Make it longer than the server keeps a set, commonly ${formatDuration(CACHED_MS)} or more`;
  return { code: 'propagation_too_short', setting: 'propagation', message };
}

function unproven({ prove }: TimedPolicy): Warning | null {
  if (prove === 'required') return null;
  const message =
    'a key becomes active without a test sign-in: one that the server shows but does not accept locks the client out. Write required where the issuer can be reached';
  return { code: 'not_proven', setting: 'prove', message };
}

function takingOver({ adopt }: TimedPolicy): Warning | null {
  if (adopt !== 'take_over') return null;
  const message =
    'take_over replaces the keys of clients whose applications may sign with keys of their own: those cannot sign in until they read their key ' +
    'folders. Write import, and enroll clients whose applications read them';
  return { code: 'takes_over', setting: 'adopt', message };
}

function oldKeys({ rotateEveryMs }: TimedPolicy): Warning | null {
  if (rotateEveryMs <= LONGEST_PERIOD_MS) return null;
  const message =
    'keys are used for longer than the three years that NIST SP 800-57 allows a signature key at most: make it shorter';
  return { code: 'keys_too_old', setting: 'rotate_every', message };
}

/** `auto` means one key at a time, until a server is known to take several. A PEM leaves room for no other key. */
export function mayOverlap({ strategy, format }: Pick<Policy, 'strategy' | 'format'>): boolean {
  return strategy === 'overlap' && format !== 'pem';
}
