import fc from 'fast-check';
import { validate } from 'node-cron';
import { describe, expect, test } from 'vitest';
import { formatDuration, parseDuration } from '../../src/core/duration.ts';
import { inWindows, nextOpening, parseWindow } from '../../src/core/window.ts';
import { inPolicy, read } from '../config/write.ts';
import { came, fuzz, mutated } from './cases.ts';

const HOUR = 3_600_000;

describe('durations', () => {
  const texts = fc.oneof(
    fc
      .tuple(
        fc.oneof(fc.nat().map(String), fc.stringMatching(/^[0-9]{1,400}$/)),
        fc.constantFrom('ms', 's', 'm', 'h', 'd', 'D', ' s', ''),
      )
      .map(([number, unit]) => number + unit),
    mutated('500ms'),
    fc.string({ unit: 'binary' }),
  );
  const corpus = [
    '',
    '0s',
    '-1s',
    '1e3s',
    '1.5h',
    '0x10s',
    '٣s',
    '1s\n',
    ' 1s',
    '9007199254740991ms',
    '9007199254740992ms',
    `${'9'.repeat(1_000)}d`,
    '__proto__',
    '1constructor',
    '5toString',
  ];

  test('what is taken is a whole number of milliseconds that reads the same again', async () => {
    await fuzz(texts, corpus, (text) => {
      const ms = parseDuration(text);
      if (ms === null) return;
      expect(text).toMatch(/^[0-9]+(?:ms|s|m|h|d)$/);
      expect(Number.isSafeInteger(ms) && ms >= 0).toBe(true);
      expect(parseDuration(`${ms}ms`)).toBe(ms);
      expect(formatDuration(ms)).toMatch(/^\d+ (?:ms|s|min|h|d)(?: \d+ (?:s|min|h))?$/);
    });
  });
});

describe('windows', () => {
  const days = fc.array(
    fc.constantFrom('Mon', 'tue', 'WED', 'Thu', 'Fri', 'Sat', 'Sun', 'Mon-Thu', 'Fri-Mon', 'Nov', ''),
    { minLength: 1, maxLength: 3 },
  );
  const clock = fc
    .tuple(fc.nat(25), fc.nat(61))
    .map(([hour, minute]) => `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`);
  const texts = fc.oneof(
    fc.tuple(days, clock, clock).map(([names, from, to]) => `${names.join(',')} ${from}-${to}`),
    fc.tuple(clock, clock).map(([from, to]) => `${from}-${to}`),
    mutated('Mon-Thu 01:00-05:00'),
  );
  const zones = fc.constantFrom(...Intl.supportedValuesOf('timeZone'));
  const cases = fc.record({
    text: texts,
    zone: zones,
    now: fc.integer({ min: 0, max: 4e12 }),
    probe: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  const now = Date.UTC(2026, 2, 29);
  // Lord Howe moves by half an hour, Apia skipped a day, Casablanca moves for Ramadan, Troll by two hours.
  const corpus = [
    'Australia/Lord_Howe',
    'Pacific/Apia',
    'Africa/Casablanca',
    'Antarctica/Troll',
    'Africa/Monrovia',
  ].flatMap((zone) =>
    [
      'Sun 02:00-02:30',
      '00:00-24:00',
      '23:59-00:00',
      'Fri 12:00-12:01',
      'Fri-Fri 00:00-00:01',
      'Sat-Fri 24:00-24:00',
    ].map((text) => ({ text, zone, now: zone === 'Pacific/Apia' ? Date.UTC(2011, 11, 29) : now, probe: 0.5 })),
  );

  test('the next opening is open, comes within nine days, and nothing before it is open', async () => {
    await fuzz(cases, corpus, ({ text, zone, now: at, probe }) => {
      const window = parseWindow(text);
      if (window === null) return;
      const { days: on, start, end } = window;
      expect(on.length >= 1 && on.every((day) => day >= 0 && day <= 6) && start >= 0 && start < 1_440).toBe(true);
      expect(end > start && end - start <= 1_440).toBe(true);
      const opening = nextOpening([window], zone, at);
      expect(inWindows([window], zone, opening)).toBe(true);
      expect(opening >= at && opening <= at + 9 * 24 * HOUR).toBe(true);
      const before = at + Math.floor((opening - at) * probe);
      if (before < opening) expect(inWindows([window], zone, before)).toBe(false);
    });
  });
});

describe('schedules', () => {
  const field = fc.oneof(
    fc.constantFrom('*', '*/5', '1-5', '0', 'mon', 'L', '1,2', '?', '#', 'W', '0-99999999', '*/0', '-1', ''),
    fc.string({ maxLength: 6 }),
  );
  const texts = fc.oneof(
    fc.array(field, { minLength: 3, maxLength: 8 }).map((fields) => fields.join(' ')),
    mutated('0 3 * * *'),
  );
  const corpus = [
    '0-9999 * * * *',
    '1-9999999999 * * * *',
    `${'0,'.repeat(500)}0 * * * *`,
    '* '.repeat(1_000),
    '0 0 30 2 *',
    '0 0 1 1 1#5',
    '@daily',
    '__proto__ * * * *',
  ];

  test('what is taken is a schedule to node-cron, and the rest is refused', async () => {
    await fuzz(
      texts,
      corpus,
      async (schedule) => {
        const result = await came(() => read(inPolicy({ schedule })));
        if ('error' in result) return expect(result.error).toMatchObject({ code: 'config' });
        expect(validate(schedule)).toBe(true);
        expect(result.value.policies.default?.schedule).toBe(schedule);
      },
      0.4,
    );
  });
});
