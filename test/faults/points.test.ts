/** The list of points comes from the core; here each of them is shown to be passed, and a run in which nothing breaks to break nothing. */
import { expect, test } from 'vitest';
import { POINTS, SELDOM, STEPS } from './points.ts';
import { calm } from './scenarios/calm.ts';

/**
 * Only when a person ends a rotation; only when what was seen is older than five seconds, which an undisturbed rotation need not wait for; and a key is
 * made ready only where a policy says so, as in the scenario `standby`.
 */
const RARE = /^(?:choose|look|make_standby):/;

test('a run passes the points of every step that the core knows', { timeout: 180_000 }, async () => {
  expect(STEPS).toEqual(expect.arrayContaining(['generate', 'patch', 'prove_old', 'choose']));
  const { points, violations } = await calm.run({ seed: 1 });
  expect(violations).toEqual([]);
  const wanted = POINTS.filter((point) => !RARE.test(point));
  expect(wanted.filter((point) => !points.has(point))).toEqual([]);
  expect([...points].filter((point) => ![...POINTS, ...SELDOM].includes(point))).toEqual([]);
});
