/** Whose turn it is to be heard when there are more held clients than one run looks at. */
import { expect, test } from 'vitest';
import { turnOf } from '../../jobs/hearing.ts';
import { makeReference } from '../../src/core/client.ts';

const MINUTE = 60_000;
const held = Array.from({ length: 12_345 }, (_, index) => makeReference('1', 'app', `${index}`));

test('a fleet that one run can look at is looked at whole', () => {
  expect(turnOf(held.slice(0, 5_000), 7 * MINUTE, MINUTE)).toHaveLength(5_000);
  expect(turnOf([], 0, MINUTE)).toEqual([]);
});

test('of a larger one each client has its turn', () => {
  const runs = [0, 1, 2].map((run) => turnOf(held, run * MINUTE, MINUTE));
  expect(Math.max(...runs.map(({ length }) => length))).toBe(5_000);
  expect(new Set(runs.flat()).size).toBe(held.length);
});
