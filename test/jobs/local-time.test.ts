/** Ticks as node-cron makes them, on a clock that passes hours in a moment. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { tickLocally } from '../../jobs/local-time.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const HOUR = 3_600_000;

async function ticks(schedule: string, timezone: string, from: string, hours: number): Promise<readonly string[]> {
  vi.setSystemTime(Date.parse(from));
  const slots: string[] = [];
  const stop = tickLocally({ schedule, timezone }, async (slot) => {
    slots.push(slot.toISOString().slice(5, 16));
  });
  await vi.advanceTimersByTimeAsync(hours * HOUR);
  await stop();
  return slots;
}

const DAILY = '30 2 * * *';

describe('ticks in a time zone', () => {
  test.each<[string, string, string, string, number, readonly string[]]>([
    ['that knows no summer time', DAILY, 'UTC', '2027-03-27T12:00:00Z', 48, ['03-28T02:30', '03-29T02:30']],
    [
      'at a time that the clock put forward skips: once, as soon as it has',
      DAILY,
      'Europe/Berlin',
      '2027-03-26T12:00:00Z',
      72,
      ['03-27T01:30', '03-28T01:00', '03-29T00:30'],
    ],
    [
      'at two times that a change makes one: the same slot twice',
      '0 2,3 * * *',
      'Europe/Berlin',
      '2027-03-28T00:30:00Z',
      2,
      ['03-28T01:00', '03-28T01:00'],
    ],
    [
      'in the hour that comes twice: those of its second time',
      '*/30 * * * *',
      'Europe/Berlin',
      '2026-10-24T23:45:00Z',
      3,
      ['10-25T01:00', '10-25T01:30', '10-25T02:00', '10-25T02:30'],
    ],
    ['once a day in that hour: once', DAILY, 'Europe/Berlin', '2026-10-24T12:00:00Z', 24, ['10-25T01:30']],
    [
      'once a day outside that hour: once',
      '0 3 * * *',
      'Europe/Berlin',
      '2026-10-24T12:00:00Z',
      48,
      ['10-25T02:00', '10-26T02:00'],
    ],
    [
      'that changes by half an hour',
      '15 2 * * *',
      'Australia/Lord_Howe',
      '2027-10-02T00:00:00Z',
      48,
      ['10-02T15:30', '10-03T15:15'],
    ],
    ['behind UTC', DAILY, 'America/St_Johns', '2027-03-13T12:00:00Z', 48, ['03-14T05:30', '03-15T05:00']],
  ])('%s', async (_, schedule, timezone, from, hours, slots) => {
    expect(await ticks(schedule, timezone, from, hours)).toEqual(slots);
  });
});
