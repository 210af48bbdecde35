/**
 * Ticks of a schedule in a time zone with summer time. node-cron leaves out the times that a clock put forward skips, for a weekly schedule of
 * a Sunday night a whole week, and it is silent for the first of the two hours that a clock put back shows. By an offset from UTC it knows no
 * changes: each schedule runs by every offset that its zone has, and a tick counts where that offset is in force. A local time that comes twice
 * ticks twice.
 */
import cron from 'node-cron';

const WEEK_MS = 7 * 86_400_000;
const WEEKS_AHEAD = 60;
const MINUTE_MS = 60_000;

/**
 * @param now where to begin to look for the zone's offsets, ms since the epoch; those of the year after it are known
 * @param onTick is told the slot: when the tick is due, not when it comes. Two local times that a change makes one are two ticks of one slot
 * @returns what stops them
 */
export function tickLocally(
  { schedule, timezone }: { readonly schedule: string; readonly timezone: string },
  now: number,
  onTick: (slot: Date) => Promise<void>,
): () => Promise<void> {
  const zone = zoneOf(timezone, now);
  const tasks = zone.offsets.map((offset) =>
    cron.schedule(
      schedule,
      async ({ date }) => {
        if (isDue(zone, offset, date.getTime())) await onTick(date);
      },
      { timezone: nameOf(offset), suppressMissedWarning: true },
    ),
  );
  return async () => {
    for (const task of tasks) await task.destroy();
  };
}

interface Zone {
  /** Minutes that its clocks are ahead of UTC, at a time in ms since the epoch. */
  readonly offsetAt: (time: number) => number;
  /** All that it has in the year to come. */
  readonly offsets: readonly number[];
}

function zoneOf(timeZone: string, now: number): Zone {
  const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
  const offsetAt = (time: number) => {
    const name = format.formatToParts(time).find(({ type }) => type === 'timeZoneName')?.value ?? '';
    const [, sign = '+', hours = '0', minutes = '0'] = /^GMT([+-])(\d\d):(\d\d)/.exec(name) ?? [];
    return (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -1 : 1);
  };
  const weeks = Array.from({ length: WEEKS_AHEAD }, (_, week) => offsetAt(now + week * WEEK_MS));
  return { offsetAt, offsets: [...new Set(weeks)] };
}

/** Where clocks show that offset, or where the local time that it stands for comes by none, because they were put forward. */
function isDue({ offsetAt, offsets }: Zone, offset: number, time: number): boolean {
  const cameBy = offsets.filter((other) => offsetAt(time + (offset - other) * MINUTE_MS) === other);
  return cameBy.length === 0 ? offset === Math.min(...offsets) : cameBy.includes(offset);
}

/** As `Intl` takes it for a time zone: `+01:00`. */
function nameOf(offset: number): string {
  const minutes = Math.abs(offset);
  const digits = [Math.floor(minutes / 60), minutes % 60].map((number) => String(number).padStart(2, '0'));
  return `${offset < 0 ? '-' : '+'}${digits.join(':')}`;
}
