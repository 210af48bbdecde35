/** The list of points comes from the core; here each of them is shown to be passed, and a run in which nothing breaks to break nothing. */
import { expect, test } from 'vitest';
import { POINTS, STEPS } from './points.ts';
import { calm } from './scenarios/calm.ts';

/** Only when somebody else published the very same document first; test/core shows what comes of it. */
const RARE = 'settle:';

/** Only when what was read is older than five seconds, which an undisturbed rotation never waits for. */
const SLOW = 'observe:';

test('a run passes the points of every step that the core knows', { timeout: 180_000 }, async () => {
  expect(STEPS).toEqual(expect.arrayContaining(['generate', 'patch', 'settle', 'destroy']));
  const { points, violations } = await calm.run({ seed: 1 });
  expect(violations).toEqual([]);
  const wanted = POINTS.filter((point) => !point.startsWith(RARE) && !point.startsWith(SLOW));
  expect(wanted.filter((point) => !points.has(point))).toEqual([]);
  expect([...points].filter((point) => !POINTS.includes(point))).toEqual([]);
});
