/** Where a time lies in a picture, in percent of its width. */
import { formatDuration } from '../../../../core/duration.ts';

export interface Scale {
  readonly from: number;
  readonly until: number;
  /** 0 to 100. Times outside lie at the nearer end. */
  at(ms: number): number;
}

/** A picture has some room at both ends, in percent, for marks. */
const EDGE = 2;

export function evenScale(from: number, until: number): Scale {
  const length = Math.max(1, until - from);
  return {
    from,
    until,
    at: (ms) => EDGE + (clamp(ms - from, 0, length) / length) * (100 - 2 * EDGE),
  };
}

/** A piece of a {@link steppedScale}: between two things that happened. */
export interface Gap {
  readonly from: number;
  readonly until: number;
  readonly text: string;
}

/**
 * Between two things that happen lies a gap that grows with the logarithm of its time, and is never too small to be seen: of a rotation with a soak of a minute and an overlap of a day both are
 * seen. Within a gap the scale is even.
 */
export function steppedScale(times: readonly number[]): Scale & { readonly gaps: readonly Gap[] } {
  const points = apart(times.toSorted((a, b) => a - b));
  const [from = 0] = points;
  const until = points.at(-1) ?? from + 1;
  const weights = points.slice(1).map((point, index) => weightOf(point - (points[index] ?? point)));
  const total = weights.reduce((sum, weight) => sum + weight, 0) || 1;
  const width = 100 - 2 * EDGE;
  // However many gaps there are, half of the picture is shared by their weights.
  const least = Math.min(LEAST, width / 2 / Math.max(1, weights.length));
  const shared = width - least * weights.length;
  const places = [EDGE];
  for (const weight of weights) places.push((places.at(-1) ?? EDGE) + least + (weight / total) * shared);
  const at = (ms: number) => {
    const next = points.findIndex((point) => point > ms);
    if (next === 0) return EDGE;
    if (next === -1) return 100 - EDGE;
    const [left = 0, right = 1] = [points[next - 1], points[next]];
    const [start = 0, end = 0] = [places[next - 1], places[next]];
    return start + ((ms - left) / (right - left)) * (end - start);
  };
  const gaps = points.slice(1).map((point, index) => {
    const start = points[index] ?? point;
    return { from: start, until: point, text: formatDuration(point - start) };
  });
  return { from, until, at, gaps };
}

/** Of a gap, in percent: one that is shorter could not be seen. */
const LEAST = 2;

/** Closer than this, in ms, is at the same time. */
const SAME_MS = 30;

function apart(sorted: readonly number[]): readonly number[] {
  const kept: number[] = [];
  for (const time of sorted) if (time - (kept.at(-1) ?? Number.NEGATIVE_INFINITY) >= SAME_MS) kept.push(time);
  return kept;
}

function weightOf(ms: number): number {
  return 0.6 + Math.log10(1 + ms / 100);
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Distances of ticks that people read at once. */
const STEPS = [
  ...[1, 5, 15, 30].map((count) => count * SECOND),
  ...[1, 5, 15, 30].map((count) => count * MINUTE),
  ...[1, 2, 6, 12].map((count) => count * HOUR),
  ...[1, 2, 7, 14, 30, 61, 91, 182, 365, 730].map((count) => count * DAY),
];

const TICKS = 6;

export interface Tick {
  readonly at: number;
  readonly text: string;
}

/** About six, at full seconds, minutes, hours or days in UTC; at the first of a month where they are a month apart or more. */
export function ticksOf({ from, until }: Pick<Scale, 'from' | 'until'>): readonly Tick[] {
  const length = until - from;
  const step = STEPS.find((size) => length / size <= TICKS) ?? length / TICKS;
  const times =
    step >= 30 * DAY ? months(from, until, Math.max(1, Math.round(step / (30.4 * DAY)))) : even(from, until, step);
  return times.map((at) => ({ at, text: tickText(at, step) }));
}

function even(from: number, until: number, step: number): readonly number[] {
  const first = Math.ceil(from / step) * step;
  return Array.from(
    { length: Math.max(0, Math.floor((until - first) / step) + 1) },
    (_, index) => first + index * step,
  );
}

function months(from: number, until: number, every: number): readonly number[] {
  const start = new Date(from);
  const first =
    Math.ceil((start.getUTCFullYear() * 12 + start.getUTCMonth() + (start.getUTCDate() > 1 ? 1 : 0)) / every) * every;
  const times: number[] = [];
  for (let month = first; ; month += every) {
    const at = Date.UTC(Math.floor(month / 12), month % 12, 1);
    if (at > until) return times;
    if (at >= from) times.push(at);
  }
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

function tickText(at: number, step: number): string {
  const date = new Date(at);
  const iso = date.toISOString();
  const month = MONTHS[date.getUTCMonth()] ?? '';
  if (step < MINUTE) return iso.slice(11, 19);
  if (step < DAY) return iso.slice(11, 16) === '00:00' ? `${date.getUTCDate()} ${month}` : iso.slice(11, 16);
  if (step < 30 * DAY) return `${date.getUTCDate()} ${month}`;
  return date.getUTCMonth() === 0 || step >= 365 * DAY ? String(date.getUTCFullYear()) : month;
}
