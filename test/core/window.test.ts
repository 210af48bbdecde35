import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inWindows, nextOpening, openFor, openingsOf, parseWindow, type Window } from '../../src/core/window.ts';

const MINUTE = 60_000;
const at = (text: string) => Date.parse(text);

function windows(...texts: string[]): Window[] {
  return texts.map((text) => {
    const window = parseWindow(text);
    if (window === null) throw new Error(`not a window: ${text}`);
    return window;
  });
}

describe('parseWindow', () => {
  test.each([
    ['Mon-Thu 01:00-05:00', { days: [1, 2, 3, 4], start: 60, end: 300 }],
    ['Sat,Sun 00:00-24:00', { days: [0, 6], start: 0, end: 1440 }],
    ['wed 23:15-23:30', { days: [3], start: 1395, end: 1410 }],
    ['Fri-Mon 08:00-09:00', { days: [0, 1, 5, 6], start: 480, end: 540 }],
    ['Mon,Wed-Thu 08:00-09:00', { days: [1, 3, 4], start: 480, end: 540 }],
    ['22:00-02:00', { days: [0, 1, 2, 3, 4, 5, 6], start: 1320, end: 1560 }],
    ['Sat 12:00-00:00', { days: [6], start: 720, end: 1440 }],
  ])('reads %s', (text, window) => {
    expect(parseWindow(text)).toEqual(window);
  });

  test.each([
    '',
    'Mon',
    'Mon 1:00-2:00',
    'Mon 25:00-26:00',
    'Mon 01:60-02:00',
    'Mon 01:00-24:01',
    'Mon 24:00-02:00',
    'Mon 05:00-05:00',
    'Mon-Tue-Wed 01:00-02:00',
    'Mon, 01:00-02:00',
    'Mon- 01:00-02:00',
    'Moon 01:00-02:00',
    'Mon 01:00',
  ])('refuses %j', (text) => {
    expect(parseWindow(text)).toBeNull();
  });
});

describe('inWindows', () => {
  // 2026-01-05 is a Monday.
  test.each([
    ['Mon-Thu 01:00-05:00', 'UTC', '2026-01-05T00:59:59.999Z', false],
    ['Mon-Thu 01:00-05:00', 'UTC', '2026-01-05T01:00:00Z', true],
    ['Mon-Thu 01:00-05:00', 'UTC', '2026-01-05T04:59:59.999Z', true],
    ['Mon-Thu 01:00-05:00', 'UTC', '2026-01-05T05:00:00Z', false],
    ['Mon-Thu 01:00-05:00', 'UTC', '2026-01-09T02:00:00Z', false],
    ['Mon-Thu 01:00-05:00', 'Europe/Berlin', '2026-01-05T00:00:00Z', true],
    ['Mon 00:00-24:00', 'Pacific/Kiritimati', '2026-01-04T10:00:00Z', true],
    ['Mon 00:00-24:00', 'America/St_Johns', '2026-01-05T03:29:00Z', false],
    ['Mon 00:00-24:00', 'America/St_Johns', '2026-01-05T03:30:00Z', true],
    ['Mon 22:00-02:00', 'UTC', '2026-01-06T01:59:00Z', true],
    ['Mon 22:00-02:00', 'UTC', '2026-01-06T02:00:00Z', false],
    ['Mon 22:00-02:00', 'UTC', '2026-01-05T01:00:00Z', false],
    ['Sat 22:00-02:00', 'UTC', '2026-01-04T01:00:00Z', true],
    // The clocks skip 02:00-03:00 on 2026-03-29 …
    ['Sun 02:15-02:45', 'Europe/Berlin', '2026-03-29T00:59:59Z', false],
    ['Sun 02:15-02:45', 'Europe/Berlin', '2026-03-29T01:00:00Z', false],
    ['Sun 02:30-04:00', 'Europe/Berlin', '2026-03-29T01:00:00Z', true],
    // … and show 02:00-03:00 twice on 2026-10-25.
    ['Sun 02:15-02:45', 'Europe/Berlin', '2026-10-25T00:30:00Z', true],
    ['Sun 02:15-02:45', 'Europe/Berlin', '2026-10-25T01:00:00Z', false],
    ['Sun 02:15-02:45', 'Europe/Berlin', '2026-10-25T01:30:00Z', true],
  ])('%s in %s at %s: %s', (text, timezone, time, inside) => {
    expect(inWindows(windows(text), timezone, at(time))).toBe(inside);
  });

  test('no window means no restriction', () => {
    expect(inWindows([], 'UTC', at('2026-01-05T00:00:00Z'))).toBe(true);
  });

  test('any one of several windows is enough', () => {
    const two = windows('Mon 01:00-02:00', 'Tue 01:00-02:00');
    expect(inWindows(two, 'UTC', at('2026-01-06T01:30:00Z'))).toBe(true);
  });
});

describe('nextOpening', () => {
  test.each([
    ['now, when inside', 'Mon 01:00-05:00', 'UTC', '2026-01-05T01:30:12.345Z', '2026-01-05T01:30:12.345Z'],
    ['later today', 'Mon 01:00-05:00', 'UTC', '2026-01-05T00:10:30Z', '2026-01-05T01:00:00Z'],
    ['in a week, when just closed', 'Mon 01:00-05:00', 'UTC', '2026-01-05T05:00:00Z', '2026-01-12T01:00:00Z'],
    ['in local time', 'Mon-Thu 01:00-05:00', 'Europe/Berlin', '2026-07-03T12:00:00Z', '2026-07-05T23:00:00Z'],
    ['after spring forward', 'Mon 01:00-05:00', 'Europe/Berlin', '2026-03-28T12:00:00Z', '2026-03-29T23:00:00Z'],
    ['at the jump into a window', 'Sun 02:30-04:00', 'Europe/Berlin', '2026-03-29T00:30:00Z', '2026-03-29T01:00:00Z'],
    ['a week on, when skipped', 'Sun 02:15-02:45', 'Europe/Berlin', '2026-03-29T00:30:00Z', '2026-04-05T00:15:00Z'],
    ['after fall back', 'Mon 01:00-05:00', 'Europe/Berlin', '2026-10-24T12:00:00Z', '2026-10-26T00:00:00Z'],
    ['first of the repeated', 'Sun 02:15-02:45', 'Europe/Berlin', '2026-10-25T00:00:00Z', '2026-10-25T00:15:00Z'],
    ['second of the repeated', 'Sun 02:15-02:45', 'Europe/Berlin', '2026-10-25T00:45:00Z', '2026-10-25T01:15:00Z'],
    ['half-hour change', 'Sun 02:00-03:00', 'Australia/Lord_Howe', '2026-10-03T15:00:00Z', '2026-10-03T15:30:00Z'],
  ])('%s', (_, text, timezone, now, opening) => {
    expect(new Date(nextOpening(windows(text), timezone, at(now))).toISOString()).toBe(new Date(opening).toISOString());
  });

  test('no window means now', () => {
    expect(nextOpening([], 'UTC', 12_345)).toBe(12_345);
  });

  test('is the first minute inside, by walking there, also across clock changes', () => {
    const timezone = 'Europe/Berlin';
    // The drawn days lie around the change, which is early on a Sunday.
    const clock = fc.record({
      days: fc.uniqueArray(fc.constantFrom(6, 0), { minLength: 1 }),
      start: fc.integer({ min: 0, max: 1439 }),
      length: fc.integer({ min: 1, max: 600 }),
    });
    const change = fc.constantFrom('2026-03-29T01:00:00Z', '2026-10-25T01:00:00Z');
    const minutesBefore = fc.integer({ min: -120, max: 600 });
    fc.assert(
      fc.property(clock, change, minutesBefore, fc.nat(59_999), ({ days, start, length }, moment, minutes, ms) => {
        const open = [{ days, start, end: start + length }];
        const now = at(moment) - minutes * MINUTE + ms;
        const opening = nextOpening(open, timezone, now);
        expect(inWindows(open, timezone, opening)).toBe(true);
        if (inWindows(open, timezone, now)) expect(opening).toBe(now);
        expect(opening).toBeGreaterThanOrEqual(now);
        const walkTo = Math.min(opening, now + 900 * MINUTE);
        for (let minute = Math.ceil(now / MINUTE) * MINUTE; minute < walkTo; minute += MINUTE) {
          if (inWindows(open, timezone, minute))
            expect.unreachable(`open before, at ${new Date(minute).toISOString()}`);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('openFor', () => {
  test.each([
    ['Mon 01:00-05:00', 'UTC', '2026-01-05T00:59:59Z', 0],
    ['Mon 01:00-05:00', 'UTC', '2026-01-05T01:00:00Z', 240],
    ['Mon 01:00-05:00', 'UTC', '2026-01-05T04:58:30Z', 1.5],
    ['Mon 01:00-05:00', 'Europe/Berlin', '2026-01-05T01:00:00Z', 180],
    ['Sat 22:00-02:00', 'UTC', '2026-01-04T01:00:00Z', 60],
    ['00:00-24:00', 'UTC', '2026-01-05T01:00:00Z', Number.POSITIVE_INFINITY],
  ])('%s in %s at %s: %d minutes', (text, timezone, time, minutes) => {
    expect(openFor(windows(text), timezone, at(time))).toBe(minutes * MINUTE);
  });
});

describe('openingsOf', () => {
  test.each<[string[], [closed: number, open: number][]]>([
    [[], []],
    [['00:00-24:00'], []],
    [['00:00-12:00', '12:00-00:00'], []],
    [['Mon 01:00-05:00'], [[164, 4]]],
    [['01:00-05:00'], Array.from({ length: 7 }, () => [20, 4])],
    [['Mon 01:00-03:00', 'Mon 02:00-05:00'], [[164, 4]]],
    [
      ['Mon 22:00-02:00', 'Wed 02:00-03:00'],
      [
        [24, 1],
        [139, 4],
      ],
    ],
  ])('%j', (texts, hours) => {
    const expected = hours.map(([closed, open]) => ({ closed: closed * 60 * MINUTE, open: open * 60 * MINUTE }));
    expect(openingsOf(windows(...texts))).toEqual(expected);
  });
});
