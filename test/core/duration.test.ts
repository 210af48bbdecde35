import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DURATION_PATTERN, formatDuration, parseDuration } from '../../src/core/duration.ts';

describe('parseDuration', () => {
  test.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['10m', 600_000],
    ['6h', 21_600_000],
    ['30d', 2_592_000_000],
    ['0s', 0],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', '30', 's', '1.5h', '-1s', '1h30m', ' 1s', '1s ', '1 s', '1w', '1S', '99999999999999d', '1s\n'])(
    'refuses %j',
    (text) => {
      expect(parseDuration(text)).toBeNull();
    },
  );

  test('refuses whatever the published pattern refuses', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9]{0,3}[a-z]{0,3}$/), (text) => {
        expect(parseDuration(text) !== null).toBe(new RegExp(DURATION_PATTERN).test(text));
      }),
    );
  });
});

test.each([
  [0, '0 s'],
  [250, '250 ms'],
  [1_999, '1 s'],
  [59_999, '59 s'],
  [60_000, '1 min'],
  [600_000, '10 min'],
  [3_661_000, '1 h 1 min'],
  [86_400_000, '1 d'],
  [86_400_000 + 5 * 60_000, '1 d'],
  [3 * 86_400_000 + 4 * 3_600_000 + 59 * 60_000, '3 d 4 h'],
  [-90_000, '-1 min 30 s'],
])('formatDuration(%i) is %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
