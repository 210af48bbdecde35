/**
 * Ticks of a schedule in a time zone with summer time. node-cron leaves out the times that a clock put forward skips: a weekly schedule of a Sunday night
 * would lose its week. So a tick of its own comes as soon as clocks have skipped a time of the schedule. What a clock put back shows twice is left to
 * node-cron, which ticks in the second of the two hours.
 */
import cron from 'node-cron';
import { sleep } from '../src/time.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/** The last second of each half hour, in UTC: every zone changes its clocks on one of them. */
const BEFORE_CHANGES = '59 29,59 * * * *';

/**
 * @param onTick is told the slot: when the tick is due, not when it comes
 * @returns what stops it
 */
export function tickLocally(
  { schedule, timezone }: { readonly schedule: string; readonly timezone: string },
  onTick: (slot: Date) => Promise<void>,
): () => Promise<void> {
  const ticks = cron.schedule(schedule, ({ date }) => onTick(date), { timezone, suppressMissedWarning: true });
  const stopped = new AbortController();
  const changes = cron.schedule(
    BEFORE_CHANGES,
    async ({ date }) => {
      if (!(await skips(schedule, timezone, date.getTime()))) return;
      await sleep(SECOND_MS, stopped.signal);
      if (!stopped.signal.aborted) await onTick(new Date(date.getTime() + SECOND_MS));
    },
    { timezone: 'UTC', suppressMissedWarning: true },
  );
  return async () => {
    stopped.abort();
    await ticks.destroy();
    await changes.destroy();
  };
}

/** True when clocks are put forward within a second, over a time of the schedule. */
async function skips(schedule: string, timezone: string, now: number): Promise<boolean> {
  const offset = offsetAt(timezone, now);
  const skippedMs = (offsetAt(timezone, now + SECOND_MS) - offset) * MINUTE_MS;
  if (skippedMs <= 0) return false;
  const unchanged = cron.createTask(schedule, () => {}, { timezone: nameOf(offset) });
  const [next] = unchanged.getNextRuns(1);
  await unchanged.destroy();
  return next !== undefined && next.getTime() < now + SECOND_MS + skippedMs;
}

/** Minutes that the zone's clocks are ahead of UTC, at a time in ms since the epoch. */
function offsetAt(timeZone: string, time: number): number {
  const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
  const name = format.formatToParts(time).find(({ type }) => type === 'timeZoneName')?.value ?? '';
  const [, sign = '+', hours = '0', minutes = '0'] = /^GMT([+-])(\d\d):(\d\d)/.exec(name) ?? [];
  return (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -1 : 1);
}

/** As `Intl` takes it for a time zone: `+01:00`. */
function nameOf(offset: number): string {
  const minutes = Math.abs(offset);
  const digits = [Math.floor(minutes / 60), minutes % 60].map((number) => String(number).padStart(2, '0'));
  return `${offset < 0 ? '-' : '+'}${digits.join(':')}`;
}
