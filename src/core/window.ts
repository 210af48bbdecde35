/**
 * Maintenance windows such as `Mon-Thu 01:00-05:00`, on the wall clock of a time zone. A window is open whenever the wall clock shows a
 * time inside it: an hour that the clocks skip is never open, and an hour that they repeat is open twice.
 */

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;
const WEEK_MINUTES = 7 * DAY_MINUTES;

export interface Window {
  /** Weekdays on which the window opens; 0 is Sunday. */
  readonly days: readonly number[];
  /** Minutes after midnight at which it opens, included. */
  readonly start: number;
  /** Minutes after that same midnight at which it closes, excluded; beyond 1440 when it closes on the next day. */
  readonly end: number;
}

/**
 * `[DAYS ]HH:MM-HH:MM`. DAYS is a list of days and ranges (`Mon-Thu`, `Sat,Sun`, `Fri-Mon`); without it the window opens every day. An end
 * that is not after its start lies on the next day; `00:00-24:00` is the whole day. Null when `text` is anything else.
 */
export function parseWindow(text: string): Window | null {
  const match = /^(?:([A-Za-z,-]+) +)?(\d\d):(\d\d)-(\d\d):(\d\d)$/.exec(text.trim());
  if (match === null) return null;
  const days = match[1] === undefined ? [0, 1, 2, 3, 4, 5, 6] : parseDays(match[1]);
  const start = minuteOfDay(match[2], match[3]);
  const end = minuteOfDay(match[4], match[5]);
  if (days === null || start === null || end === null || start === DAY_MINUTES || start === end) return null;
  return { days, start, end: end > start ? end : end + DAY_MINUTES };
}

/** True when `nowMs` is inside one of `windows`, or when there are none: no window means no restriction. */
export function inWindows(windows: readonly Window[], timezone: string, nowMs: number): boolean {
  return windows.length === 0 || isOpen(windows, minuteOfWeek(wallMinutes(timezone, nowMs)));
}

/** The first moment not before `nowMs` that is inside one of `windows`: `nowMs` itself when it is, or when there are none. */
export function nextOpening(windows: readonly Window[], timezone: string, nowMs: number): number {
  if (inWindows(windows, timezone, nowMs)) return nowMs;
  const offsetAt = (minute: number) => wallMinutes(timezone, minute * MINUTE_MS) - minute;
  let minute = Math.floor(nowMs / MINUTE_MS);
  for (;;) {
    const offset = offsetAt(minute);
    const next = minute + minutesToStart(windows, minuteOfWeek(minute + offset));
    if (offsetAt(next) === offset) return next * MINUTE_MS;
    // The clocks change on the way there. Up to the change nothing opens; the change itself may land inside a window.
    minute = firstMinute(minute, next, (candidate) => offsetAt(candidate) !== offset);
    if (isOpen(windows, minuteOfWeek(minute + offsetAt(minute)))) return minute * MINUTE_MS;
  }
}

/**
 * For how long, in ms, one of `windows` stays open from `nowMs` on: 0 when none is open, Infinity when one always is. A change of the clocks on the
 * way is not counted.
 */
export function openFor(windows: readonly Window[], timezone: string, nowMs: number): number {
  const minutes = minutesUntil(false, windows, minuteOfWeek(wallMinutes(timezone, nowMs)));
  return minutes === 0 ? 0 : minutes * MINUTE_MS - (nowMs % MINUTE_MS);
}

/** Each time in a week that `windows` open, with how long they were closed before and stay open then, in ms. None when they never close. */
export function openingsOf(windows: readonly Window[]): readonly { readonly closed: number; readonly open: number }[] {
  const closings = windows
    .flatMap(({ days, end }) => days.map((day) => (day * DAY_MINUTES + end) % WEEK_MINUTES))
    .filter((minute) => !isOpen(windows, minute));
  return [...new Set(closings)].map((closing) => {
    const closed = minutesUntil(true, windows, closing);
    const open = minutesUntil(false, windows, (closing + closed) % WEEK_MINUTES);
    return { closed: closed * MINUTE_MS, open: open * MINUTE_MS };
  });
}

/** Minutes on the wall from `from` until the windows are open, or closed; Infinity when that never comes. */
function minutesUntil(open: boolean, windows: readonly Window[], from: number): number {
  for (let minutes = 0; minutes < WEEK_MINUTES; minutes += 1) {
    if (isOpen(windows, (from + minutes) % WEEK_MINUTES) === open) return minutes;
  }
  return Number.POSITIVE_INFINITY;
}

function parseDays(text: string): number[] | null {
  const days = new Set<number>();
  for (const part of text.toLowerCase().split(',')) {
    const ends = part.split('-').map((name) => DAYS.indexOf(name));
    const [first, last = first] = ends;
    if (first === undefined || last === undefined || ends.includes(-1) || ends.length > 2) return null;
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return [...days].sort();
}

function minuteOfDay(hours = '', minutes = ''): number | null {
  const minute = Number(hours) * 60 + Number(minutes);
  return Number(minutes) < 60 && minute <= DAY_MINUTES ? minute : null;
}

/** `minute` counts from midnight at the start of Sunday, on the wall. */
function isOpen(windows: readonly Window[], minute: number): boolean {
  return windows.some(({ days, start, end }) =>
    days.some((day) => {
      const sinceOpening = (minute - day * DAY_MINUTES - start + WEEK_MINUTES) % WEEK_MINUTES;
      return sinceOpening < end - start;
    }),
  );
}

/** Minutes on the wall until a window opens: 1 to 10080. */
function minutesToStart(windows: readonly Window[], minute: number): number {
  const waits = windows.flatMap(({ days, start }) =>
    days.map((day) => {
      const wait = (day * DAY_MINUTES + start - minute + WEEK_MINUTES) % WEEK_MINUTES;
      return wait === 0 ? WEEK_MINUTES : wait;
    }),
  );
  return Math.min(...waits);
}

/** The first minute in `(low, high]` for which `holds`, which must hold at `high` and from its first time on. */
function firstMinute(low: number, high: number, holds: (minute: number) => boolean): number {
  let [before, from] = [low, high];
  while (from - before > 1) {
    const middle = Math.floor((before + from) / 2);
    if (holds(middle)) from = middle;
    else before = middle;
  }
  return from;
}

/** The Unix epoch was a Thursday. */
function minuteOfWeek(wall: number): number {
  return (((wall + 4 * DAY_MINUTES) % WEEK_MINUTES) + WEEK_MINUTES) % WEEK_MINUTES;
}

/** What the wall clock shows at `ms`, as minutes since the epoch as if the wall were in UTC. */
export function wallMinutes(timezone: string, ms: number): number {
  const shown: Record<string, number> = {};
  for (const { type, value } of formatter(timezone).formatToParts(ms)) shown[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0 } = shown;
  return Date.UTC(year, month - 1, day, hour, minute) / MINUTE_MS;
}

/** Making a formatter costs a hundred times what using it does, and a sweep asks once per client. */
const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(timezone: string): Intl.DateTimeFormat {
  const known = formatters.get(timezone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  formatters.set(timezone, made);
  return made;
}
