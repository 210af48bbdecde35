/** When scheduled rotations may begin: inside the windows of a policy, and outside its freezes. */
import { inWindows, nextOpening, type Window, wallMinutes } from './window.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const DAY_MINUTES = 1440;

/** Days on the wall on which no scheduled rotation begins, as days since the epoch. Both belong to it. */
export interface Freeze {
  readonly first: number;
  readonly last: number;
}

export interface Calendar {
  /** None: at any hour. */
  readonly windows: readonly Window[];
  readonly freeze: readonly Freeze[];
  /** Of both; an IANA name. */
  readonly timezone: string;
}

/** `2026-12-18/2027-01-04`, first and last day (ISO 8601 with dates alone). Null when `text` is anything else, or ends before it begins. */
export function parseFreeze(text: string): Freeze | null {
  const [, from, to] = /^(\d{4}-\d\d-\d\d)\/(\d{4}-\d\d-\d\d)$/.exec(text.trim()) ?? [];
  const [first, last] = [dayOf(from), dayOf(to)];
  return first === null || last === null || first > last ? null : { first, last };
}

/** Null for a day that no calendar has, such as 2027-02-30. */
function dayOf(text: string | undefined): number | null {
  const ms = Date.parse(`${text}T00:00:00Z`);
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text) return null;
  return ms / DAY_MS;
}

export function isFrozen({ freeze, timezone }: Pick<Calendar, 'freeze' | 'timezone'>, nowMs: number): boolean {
  return freeze.length > 0 && freezesAt(freeze, timezone, nowMs).length > 0;
}

export function mayBegin(calendar: Calendar, nowMs: number): boolean {
  return inWindows(calendar.windows, calendar.timezone, nowMs) && !isFrozen(calendar, nowMs);
}

/** The first moment not before `nowMs` at which a scheduled rotation may begin: `nowMs` itself when it may. In ms since the epoch. */
export function nextBeginning(calendar: Calendar, nowMs: number): number {
  const { windows, freeze, timezone } = calendar;
  for (let at = nowMs; ; ) {
    const open = nextOpening(windows, timezone, at);
    at = thawsAt(freeze, timezone, open);
    if (at === open) return at;
  }
}

/** The longest time, in ms, that freezes keep everything waiting: those that touch or overlap count as one. */
export function longestFreeze(freeze: readonly Freeze[]): number {
  let [longest, first, last] = [0, 0, Number.NEGATIVE_INFINITY];
  for (const next of [...freeze].sort((a, b) => a.first - b.first)) {
    if (next.first > last + 1) first = next.first;
    last = Math.max(last, next.last);
    longest = Math.max(longest, last - first + 1);
  }
  return longest * DAY_MS;
}

/** Freezes that are not over, the next one first; in ms since the epoch. */
export function freezesFrom(
  { freeze, timezone }: Pick<Calendar, 'freeze' | 'timezone'>,
  nowMs: number,
): readonly { readonly from: number; readonly until: number }[] {
  // No wall clock is as far as two days from UTC.
  const midnight = (day: number) => momentOf(timezone, day * DAY_MINUTES, (day - 2) * DAY_MS);
  return [...freeze]
    .sort((a, b) => a.first - b.first)
    .map(({ first, last }) => ({ from: midnight(first), until: midnight(last + 1) }))
    .filter(({ until }) => nowMs < until);
}

function freezesAt(freeze: readonly Freeze[], timezone: string, nowMs: number): readonly Freeze[] {
  const day = Math.floor(wallMinutes(timezone, nowMs) / DAY_MINUTES);
  return freeze.filter(({ first, last }) => first <= day && day <= last);
}

/** The first moment not before `nowMs` that lies in no freeze. */
function thawsAt(freeze: readonly Freeze[], timezone: string, nowMs: number): number {
  for (let at = nowMs; ; ) {
    const frozen = freezesAt(freeze, timezone, at);
    if (frozen.length === 0) return at;
    const midnight = (Math.max(...frozen.map(({ last }) => last)) + 1) * DAY_MINUTES;
    at = momentOf(timezone, midnight, at);
  }
}

/** Clocks change by quarters of an hour, and some zones skip midnight itself. */
const STEP_MINUTES = 15;

/** The first moment at which the wall shows `wall` or more, in ms since the epoch. @param nearMs a moment before it */
function momentOf(timezone: string, wall: number, nearMs: number): number {
  const offsetAt = (minute: number) => wallMinutes(timezone, minute * MINUTE_MS) - minute;
  const guess = wall - offsetAt(Math.floor(nearMs / MINUTE_MS));
  // The clocks may have changed in between: by the offset of then it may be sooner.
  let minute = Math.min(guess, wall - offsetAt(guess));
  while (minute + offsetAt(minute) < wall) minute += STEP_MINUTES;
  return minute * MINUTE_MS;
}
