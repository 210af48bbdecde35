import { expect, test } from 'vitest';
import { judge, median, medians, p99 } from './figure.ts';

test.each([
  { numbers: [3], expected: 3 },
  { numbers: [3, 1, 2], expected: 2 },
  { numbers: [4, 1, 2, 3], expected: 2.5 },
  { numbers: [10, 9, 100], expected: 10 },
])('the median of $numbers is $expected', ({ numbers, expected }) => {
  expect(median(numbers)).toBe(expected);
});

test.each([
  { count: 1, expected: 1 },
  { count: 99, expected: 99 },
  { count: 200, expected: 198 },
])('the 99th percentile of the numbers from $count down to 1 is $expected', ({ count, expected }) => {
  expect(p99(Array.from({ length: count }, (_, index) => count - index))).toBe(expected);
});

test.each([
  { unit: 'ratio', rounds: [0.59, 0.6, 0.9], met: true },
  { unit: 'ratio', rounds: [0.59, 0.59, 0.9], met: false },
  { unit: 's', rounds: [0.6, 0.1, 0.6], met: true },
  { unit: 'MiB', rounds: [0.61, 0.61, 0.1], met: false },
] as const)('a $unit of $rounds with goal 0.6 is met: $met', ({ unit, rounds, met }) => {
  expect(judge({ id: 'P0', what: 'a test', unit, goal: 0.6, baseline: {} }, rounds).met).toBe(met);
});

test.each([
  { bound: 'most', met: true },
  { bound: 'least', met: false },
] as const)('a ratio of 0.5 with a goal that is the $bound of 0.6 is met: $met', ({ bound, met }) => {
  expect(judge({ id: 'P0', what: 'a test', unit: 'ratio', bound, goal: 0.6, baseline: {} }, [0.5])).toMatchObject({
    bound,
    met,
  });
});

test('members get the median of their own rounds', () => {
  const rounds = [
    { a: 1, b: 30 },
    { a: 2, b: 10 },
    { a: 3, b: 20 },
  ];
  expect(medians(rounds)).toEqual({ a: 2, b: 20 });
});
