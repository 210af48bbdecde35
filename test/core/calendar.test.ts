/** When scheduled rotations may begin: windows and freezes on the wall clock of a time zone. */
import { describe, expect, it } from 'vitest';
import { freezesFrom, isFrozen, longestFreeze, mayBegin, nextBeginning, parseFreeze } from '../../src/core/calendar.ts';
import { parseWindow } from '../../src/core/window.ts';
import { DAY } from './support.ts';

const freeze = (...texts: string[]) => texts.flatMap((text) => parseFreeze(text) ?? []);
const windows = (...texts: string[]) => texts.flatMap((text) => parseWindow(text) ?? []);
const at = (text: string) => Date.parse(text);

describe('a freeze', () => {
  it.each([
    ['2026-12-18/2027-01-04', 18],
    ['2026-12-24/2026-12-24', 1],
    [' 2028-02-29/2028-03-01 ', 2],
  ])('is read: %s', (text, days) => {
    expect(longestFreeze(freeze(text))).toBe(days * DAY);
  });

  it.each([
    '2026-12-18',
    '2026-12-18/',
    '2027-01-04/2026-12-18',
    '2027-02-29/2027-03-01',
    '2026-13-01/2026-13-02',
    '2026-12-18T00:00:00Z/2027-01-04T00:00:00Z',
    '18.12.2026/04.01.2027',
    '',
  ])('is not read: %j', (text) => {
    expect(parseFreeze(text)).toBeNull();
  });

  it.each([
    ['UTC', '2026-12-17T23:59:59.999Z', false],
    ['UTC', '2026-12-18T00:00:00Z', true],
    ['UTC', '2027-01-04T23:59:59.999Z', true],
    ['UTC', '2027-01-05T00:00:00Z', false],
    ['Europe/Berlin', '2026-12-17T23:00:00Z', true],
    ['Europe/Berlin', '2027-01-04T23:00:00Z', false],
    ['America/Los_Angeles', '2026-12-18T07:59:00Z', false],
    ['Pacific/Kiritimati', '2026-12-17T10:00:00Z', true],
  ])('holds from its first to its last day, in %s at %s: %s', (timezone, time, frozen) => {
    expect(isFrozen({ freeze: freeze('2026-12-18/2027-01-04'), timezone }, at(time))).toBe(frozen);
  });

  it('that touches or overlaps another one is one with it', () => {
    const many = freeze(
      '2027-01-05/2027-01-06',
      '2026-12-18/2027-01-04',
      '2026-12-20/2026-12-21',
      '2027-02-01/2027-02-03',
    );
    expect(longestFreeze(many)).toBe(20 * DAY);
    expect(longestFreeze([])).toBe(0);
  });
});

describe('the next time that a rotation may begin', () => {
  const CHRISTMAS = freeze('2026-12-18/2027-01-04');
  it.each<[string, readonly string[], readonly string[], string, string, string]>([
    ['now', [], [], 'UTC', '2026-11-26T12:00:00Z', '2026-11-26T12:00:00Z'],
    ['now, outside a freeze', [], ['2026-12-18/2027-01-04'], 'UTC', '2026-11-26T12:00:00Z', '2026-11-26T12:00:00Z'],
    ['after the freeze', [], ['2026-12-18/2027-01-04'], 'UTC', '2026-12-20T12:00:00Z', '2027-01-05T00:00:00Z'],
    [
      'after the freeze, on the wall',
      [],
      ['2026-12-18/2027-01-04'],
      'Europe/Berlin',
      '2026-12-20T12:00:00Z',
      '2027-01-04T23:00:00Z',
    ],
    [
      'over the change of the clocks',
      [],
      ['2026-03-20/2026-04-02'],
      'Europe/Berlin',
      '2026-03-21T12:00:00Z',
      '2026-04-02T22:00:00Z',
    ],
    [
      'where midnight itself is skipped',
      [],
      ['2026-09-01/2026-09-05'],
      'America/Santiago',
      '2026-09-02T12:00:00Z',
      '2026-09-06T04:00:00Z',
    ],
    [
      'in the first window after the freeze',
      ['Mon-Thu 01:00-05:00'],
      ['2026-12-18/2027-01-04'],
      'UTC',
      '2026-12-17T06:00:00Z',
      '2027-01-05T01:00:00Z',
    ],
    [
      'after two freezes in a row',
      [],
      ['2026-12-18/2027-01-04', '2027-01-05/2027-01-06'],
      'UTC',
      '2026-12-20T12:00:00Z',
      '2027-01-07T00:00:00Z',
    ],
  ])('%s', (_, open, frozen, timezone, now, expected) => {
    const calendar = { windows: windows(...open), freeze: freeze(...frozen), timezone };
    const next = nextBeginning(calendar, at(now));
    expect(new Date(next).toISOString()).toBe(new Date(at(expected)).toISOString());
    expect(mayBegin(calendar, next)).toBe(true);
    expect(mayBegin(calendar, at(now))).toBe(now === expected);
  });

  it('is no moment before the end of the freeze', () => {
    const calendar = { windows: [], freeze: CHRISTMAS, timezone: 'Asia/Kolkata' };
    const next = nextBeginning(calendar, at('2026-12-20T12:00:00Z'));
    expect([mayBegin(calendar, next - 1), mayBegin(calendar, next)]).toEqual([false, true]);
  });
});

describe('the freezes to come', () => {
  it.each([
    ['UTC', '2026-12-18T00:00:00.000Z', '2027-01-05T00:00:00.000Z'],
    ['Europe/Berlin', '2026-12-17T23:00:00.000Z', '2027-01-04T23:00:00.000Z'],
    ['Pacific/Kiritimati', '2026-12-17T10:00:00.000Z', '2027-01-04T10:00:00.000Z'],
    ['America/Los_Angeles', '2026-12-18T08:00:00.000Z', '2027-01-05T08:00:00.000Z'],
  ])('begin and end at midnight on the wall, in %s', (timezone, from, until) => {
    const calendar = {
      freeze: freeze('2027-03-01/2027-03-01', '2026-12-18/2027-01-04', '2026-01-01/2026-01-02'),
      timezone,
    };
    const [next, later, ...others] = freezesFrom(calendar, at('2026-12-01T00:00:00Z'));
    expect(next).toEqual({ from: at(from), until: at(until) });
    expect([later?.from === undefined, others]).toEqual([false, []]);
    expect(isFrozen(calendar, at(from)) && !isFrozen(calendar, at(from) - 1)).toBe(true);
    expect(isFrozen(calendar, at(until) - 1) && !isFrozen(calendar, at(until))).toBe(true);
    expect(freezesFrom(calendar, at(until))).toEqual([later]);
  });
});
