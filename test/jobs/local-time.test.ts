/** Ticks as node-cron makes them, on a clock that passes hours in a moment. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { tickLocally } from '../../jobs/local-time.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const HOUR = 3_600_000;

async function ticks(schedule: string, timezone: string, from: string, hours: number): Promise<readonly string[]> {
  vi.setSystemTime(Date.parse(from));
  const slots: string[] = [];
  const stop = tickLocally({ schedule, timezone }, Date.now(), async (slot) => {
    slots.push(slot.toISOString().slice(5, 16));
  });
  await vi.advanceTimersByTimeAsync(hours * HOUR);
  await stop();
  return slots;
}

describe('ticks in a time zone', () => {
  test('that knows no summer time', async () => {
    expect(await ticks('30 2 * * *', 'UTC', '2027-03-27T12:00:00Z', 48)).toEqual(['03-28T02:30', '03-29T02:30']);
  });

  test('a daily time that the clock put forward skips comes once, when it would have been', async () => {
    const slots = await ticks('30 2 * * *', 'Europe/Berlin', '2027-03-26T12:00:00Z', 72);
    expect(slots).toEqual(['03-27T01:30', '03-28T01:30', '03-29T00:30']);
  });

  test('two times that a change makes one are one slot', async () => {
    const slots = await ticks('0 2,3 * * *', 'Europe/Berlin', '2027-03-28T00:30:00Z', 2);
    expect(slots).toEqual(['03-28T01:00', '03-28T01:00']);
  });

  test('nothing is left out of the hour that comes twice', async () => {
    const slots = await ticks('*/30 * * * *', 'Europe/Berlin', '2026-10-24T23:45:00Z', 3);
    expect(slots).toEqual(['10-25T00:00', '10-25T00:30', '10-25T01:00', '10-25T01:30', '10-25T02:00', '10-25T02:30']);
  });

  test('a daily time in it comes twice', async () => {
    const slots = await ticks('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 24);
    expect(slots).toEqual(['10-25T00:30', '10-25T01:30']);
  });

  test('a daily time outside it comes once', async () => {
    const slots = await ticks('0 3 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 48);
    expect(slots).toEqual(['10-25T02:00', '10-26T02:00']);
  });

  test('a change of half an hour', async () => {
    const spring = await ticks('15 2 * * *', 'Australia/Lord_Howe', '2027-10-02T00:00:00Z', 48);
    expect(spring).toEqual(['10-02T15:45', '10-03T15:15']);
  });

  test('behind UTC', async () => {
    const slots = await ticks('30 2 * * *', 'America/St_Johns', '2027-03-13T12:00:00Z', 48);
    expect(slots).toEqual(['03-14T06:00', '03-15T05:00']);
  });
});
