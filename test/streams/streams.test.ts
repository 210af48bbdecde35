/** The streams of `npm run test:streams`, shortened. */
import { expect, onTestFinished, test } from 'vitest';
import { LANES } from './kinds.ts';
import { percentile } from './report.ts';
import { runKind } from './run.ts';
import { openWorld } from './world.ts';

/** Beside other tests, on a few cores. */
const PER_SECOND = 25;

test('a server that nobody here wrote refuses no sign-in while keys are rotated', async () => {
  const world = await openWorld(LANES.flat(), { keepSetsMs: 500, propagationMs: 1_000 });
  onTestFinished(() => world.close());
  const results = await Promise.all(
    LANES.map(async (lane) => {
      const those = [];
      for (const kind of lane) those.push(await runKind(world, kind, kind.short, PER_SECOND));
      return those;
    }),
  );
  for (const { kind, rotations, logins, failures } of results.flat()) {
    expect(failures, kind.name).toEqual([]);
    expect(rotations.finished, kind.name).toBe(rotations.wanted);
    expect(logins.ok, kind.name).toBeGreaterThan(0);
  }
  // A cutover is not taken for the overlap that somebody asked for.
  const cutover = LANES.flat().find(({ strategy }) => strategy === 'cutover');
  if (cutover === undefined) throw new Error('there is no cutover');
  const wrong = await runKind(world, { ...cutover, strategy: 'overlap' }, { turns: 1, clients: 1, each: 1 });
  expect(wrong).toMatchObject({ rotations: { wanted: 1, finished: 0 } });
  expect(wrong.failures).toContainEqual(expect.stringContaining('is a cutover to ES256'));
});

test('percentiles are values that were measured', () => {
  expect([0.5, 0.99].map((share) => percentile([5, 1, 3, 2, 4], share))).toEqual([3, 5]);
  expect(percentile([], 0.5)).toBeNull();
});
