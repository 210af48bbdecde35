/** Durations as people write them (`500ms`, `30s`, `10m`, `6h`, `30d`) and as they like to read them. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY };

/** What {@link parseDuration} accepts, as a regular expression for JSON Schema. */
export const DURATION_PATTERN = '^[0-9]+(ms|s|m|h|d)$';

/** Milliseconds, or null when `text` is not one whole number with one unit. A day is 24 hours, whatever the clocks do. */
export function parseDuration(text: string): number | null {
  const [, digits, unit] = /^([0-9]+)(ms|s|m|h|d)$/.exec(text) ?? [];
  if (digits === undefined || unit === undefined) return null;
  const ms = Number(digits) * (UNITS[unit] ?? Number.NaN);
  return Number.isSafeInteger(ms) ? ms : null;
}

const SHOWN = [
  ['d', DAY],
  ['h', HOUR],
  ['min', MINUTE],
  ['s', SECOND],
] as const;

/** The two largest units, cut off and not rounded: `3 d 4 h`, `10 min`, `59 s`, `250 ms`. Negative when `ms` is. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  const first = SHOWN.findIndex(([, size]) => ms >= size);
  if (first === -1) return ms === 0 ? '0 s' : `${Math.floor(ms)} ms`;
  const parts: string[] = [];
  let rest = ms;
  for (const [unit, size] of SHOWN.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${unit}`);
  }
  return parts.join(' ');
}
