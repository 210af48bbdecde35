import { describe, expect, test } from 'vitest';
import { inPolicy, read, refusal } from './write.ts';

const cohortOf = async (cohort: unknown) => (await read(inPolicy({ cohort }))).policies.default?.cohort;

describe('cohort', () => {
  test.each([
    [{}, { firstPercent: 5, thenMs: 3_600_000, stopAfter: 1 }],
    [{ first: '0.5%' }, { firstPercent: 0.5, thenMs: 3_600_000, stopAfter: 1 }],
    [
      { first: '100%', then: '0s', stop_after: 3 },
      { firstPercent: 100, thenMs: 0, stopAfter: 3 },
    ],
    ['off', null],
    [false, null],
  ])('%j', async (written, cohort) => {
    expect(await cohortOf(written)).toEqual(cohort);
  });

  test.each([
    [{ first: '0%' }, 'policies.default.cohort.first', /more than 0% and at most 100%/],
    [{ first: '101%' }, 'policies.default.cohort.first', /at most 100%/],
    [{ first: '5' }, 'policies.default.cohort.first', /such as 5%/],
    [{ first: 5 }, 'policies.default.cohort.first', /such as 5%/],
    [{ then: 'later' }, 'policies.default.cohort.then', /such as 500ms/],
    [{ stop_after: 0 }, 'policies.default.cohort.stop_after', /from 1 to/],
    ['on', 'policies.default.cohort', /write off, or \{ first/],
    [true, 'policies.default.cohort', /write off, or \{ first/],
  ])('%j is refused', async (written, path, message) => {
    const { problems } = await refusal(inPolicy({ cohort: written }));
    expect(problems).toEqual([expect.objectContaining({ path, message: expect.stringMatching(message) })]);
  });

  test('an adopt: overlap that can offer nothing is doubted', async () => {
    const doubts = async (policy: object) =>
      (await read(inPolicy({ adopt: 'overlap', ...policy }))).warnings.map(({ path }) => path);
    expect(await doubts({}), 'a probe may find that out').toEqual([]);
    expect(await doubts({ probe: 'never' })).toEqual(['policies.default.adopt']);
    expect(await doubts({ strategy: 'overlap' })).toEqual([]);
    expect(await doubts({ strategy: 'cutover' })).toContain('policies.default.adopt');
  });
});
