/** See {@link ./year.ts}, which runs a whole year by itself. */
import { expect, test } from 'vitest';
import { runYear } from './year.ts';

const DAY = 86_400_000;

test.each<[string, number, number]>([
  ['most', 365 * DAY, 1024 ** 2],
  ['keep', 5 * DAY, 100 * 1024 ** 2],
])('a log that is cut by `%s` stays small, and nothing is missing in the export', async (_, keepMs, mostBytes) => {
  const [days, clients] = [20, 20];
  const year = await runYear({ days, clients, keepMs, mostBytes });
  // With the key that seals, and a checkpoint for each day.
  expect(year.entries).toBe(days * clients * 13 + days + 1);
  expect(year.exported).toBe(year.entries);
  expect(year.peakBytes).toBeLessThan(Math.min(mostBytes, 1.1 * 1024 ** 2));
  expect(year.left).toBeLessThan(year.entries / 2);
  expect(year.left).toBeGreaterThan(year.entries / 10);
});
