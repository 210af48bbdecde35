import { describe, expect, test } from 'vitest';
import { parseFreeze } from '../../src/core/calendar.ts';
import type { Policy } from '../../src/core/policy.ts';
import { request } from '../../src/core/request.ts';
import { parseWindow } from '../../src/core/window.ts';
import {
  callsOf,
  capacityOf,
  limitWarnings,
  type PolicyShare,
  platformWarnings,
  windowWarnings,
} from '../../src/forecast/capacity.ts';
import { preview } from '../../src/forecast/preview.ts';
import { looksOf, policyWarnings, type TimedPolicy } from '../../src/forecast/warnings.ts';
import { asked, DAY, enrolledRecord, HOUR, MINUTE, material, POLICY, START } from '../core/support.ts';

/** 2026-01-05 is a Monday. */
const MONDAY = Date.UTC(2026, 0, 5);

const windows = (...texts: string[]) => texts.flatMap((text) => parseWindow(text) ?? []);
const freezes = (...texts: string[]) => texts.flatMap((text) => parseFreeze(text) ?? []);
const every = (ms: number, from = MONDAY, count = 60) => Array.from({ length: count }, (_, at) => from + at * ms);
const DAILY = every(DAY, MONDAY + 3 * HOUR);

function timed(change: Partial<TimedPolicy> = {}): TimedPolicy {
  const { rotateEveryMs = POLICY.rotateEveryMs } = change;
  return { ...POLICY, mustByMs: 1.5 * rotateEveryMs, windows: [], freeze: [], timezone: 'UTC', ...change };
}

const codes = (warnings: readonly { code: string }[]) => warnings.map(({ code }) => code);

describe('a policy that can be met has no warning', () => {
  test.each<[string, Partial<TimedPolicy>, readonly number[]]>([
    ['the defaults', {}, DAILY],
    ['a look a day for keys that live two', { rotateEveryMs: 2 * DAY }, DAILY],
    ['a look a minute', { rotateEveryMs: HOUR, overlapMs: 10 * MINUTE }, every(MINUTE)],
    ['looks inside the windows', { windows: windows('Mon-Thu 01:00-05:00') }, DAILY],
    ['a look a minute, which meets every window', { windows: windows('Wed 01:00-01:05') }, every(MINUTE)],
    ['a splay of half its period', { splayMs: 15 * DAY }, DAILY],
    ['a freeze that leaves time', { freeze: freezes('2026-12-18/2026-12-31') }, DAILY],
    ['three years', { rotateEveryMs: 3 * 365 * DAY }, DAILY],
    ['an overlap of nothing where the server takes one key', { overlapMs: 0, strategy: 'auto' }, DAILY],
    ['the same with a PEM', { overlapMs: 0, format: 'pem' }, DAILY],
    ['a served set that has time', { format: 'jwks_uri', propagationMs: 5 * MINUTE }, DAILY],
    [
      'no propagation where the server takes one key',
      { format: 'jwks_uri', strategy: 'cutover', propagationMs: 0 },
      DAILY,
    ],
  ])('%s', (_, change, ticks) => {
    expect(policyWarnings(timed(change), ticks)).toEqual([]);
  });
});

describe('a policy that cannot be met', () => {
  test.each<[string, Partial<TimedPolicy>, readonly number[], string, RegExp]>([
    ['a look a year', {}, every(365 * DAY), 'sweeps_too_rare', /up to 365 d apart, .* after 30 d: .* grows 395 d old/],
    ['a look as rare as the period', { rotateEveryMs: DAY }, DAILY, 'sweeps_too_rare', /grows 2 d old/],
    [
      'windows that come as rarely as the period',
      { rotateEveryMs: 7 * DAY, windows: windows('Mon 02:00-04:00') },
      DAILY,
      'sweeps_too_rare',
      /up to 7 d apart.*inside the windows/,
    ],
    [
      'a look a minute, which windows keep out for most of a day',
      { rotateEveryMs: 20 * HOUR, windows: windows('01:00-03:00') },
      every(MINUTE),
      'sweeps_too_rare',
      /up to 22 h apart/,
    ],
    [
      'a look that is never inside',
      { windows: windows('Mon-Thu 04:00-05:00') },
      DAILY,
      'never_in_window',
      /never starts/,
    ],
    ['a splay beyond half of the period', { splayMs: 15 * DAY + 1 }, DAILY, 'splay_too_long', /cut to 15 d/],
    [
      'an overlap as long as the period',
      { rotateEveryMs: DAY, overlapMs: DAY },
      every(HOUR),
      'rotations_run_together',
      /takes 1 d .* the server accepts up to 3 keys/,
    ],
    [
      'propagation and overlap that are too long together',
      { rotateEveryMs: 10 * MINUTE, propagationMs: 4 * MINUTE, overlapMs: 6 * MINUTE },
      every(MINUTE),
      'rotations_run_together',
      /up to 2 keys/,
    ],
    [
      'an overlap as long as the period, one key at a time',
      { rotateEveryMs: HOUR, strategy: 'auto', overlapMs: HOUR, propagationMs: HOUR },
      every(MINUTE),
      'rotations_run_together',
      /takes 1 h .* signers hold up to 2 keys/,
    ],
    ['an overlap that assertions outlive', { overlapMs: 6 * MINUTE - 1 }, DAILY, 'overlap_too_short', /at least 6 min/],
    ['a served set in a cache', { format: 'jwks_uri' }, DAILY, 'propagation_too_short', /after 1 min: its proof is/],
    [
      'keys that are overdue before the schedule looks',
      { mustByMs: 31 * DAY - 1 },
      DAILY,
      'overdue_before_rotated',
      /grows up to 31 d old, and counts as overdue after 30 d 23 h/,
    ],
    [
      'a freeze that outlasts what is left until then',
      { freeze: freezes('2026-12-18/2027-01-04') },
      DAILY,
      'overdue_before_rotated',
      /grows up to 49 d old, the longest freeze of 18 d included, and counts as overdue after 45 d/,
    ],
    ['no proof', { prove: 'read_back' }, DAILY, 'not_proven', /locks the client out/],
    ['a take-over', { adopt: 'take_over' }, DAILY, 'takes_over', /cannot sign in until they read their key folders/],
    ['keys that live too long', { rotateEveryMs: 3 * 365 * DAY + 1 }, DAILY, 'keys_too_old', /three years/],
  ])('%s', (_, change, ticks, code, message) => {
    const warnings = policyWarnings(timed(change), ticks);
    expect(codes(warnings)).toEqual([code]);
    expect(warnings[0]?.message).toMatch(message);
  });

  test('has every warning that it deserves', () => {
    const change = { prove: 'read_back', splayMs: 20 * DAY, overlapMs: 0 } as const;
    expect(codes(policyWarnings(timed(change), DAILY))).toEqual(['splay_too_long', 'overlap_too_short', 'not_proven']);
  });

  test('a schedule of which nothing is known is left alone', () => {
    expect(policyWarnings(timed({ windows: windows('Mon 04:00-05:00') }), [MONDAY])).toEqual([]);
  });
});

test.each([
  [
    'none',
    [],
    DAILY.slice(0, 3),
    [
      { after: DAY, open: Infinity },
      { after: DAY, open: Infinity },
    ],
  ],
  [
    'windows',
    ['Mon,Tue 02:00-04:00'],
    DAILY.slice(0, 9),
    [
      { after: DAY, open: HOUR },
      { after: 6 * DAY, open: HOUR },
      { after: DAY, open: HOUR },
    ],
  ],
  [
    'windows and ticks that are dense',
    ['Mon,Tue 02:00-04:00'],
    every(MINUTE),
    [
      { after: 22 * HOUR, open: 2 * HOUR },
      { after: 6 * DAY - 2 * HOUR, open: 2 * HOUR },
    ],
  ],
])('looks and their windows: %s', (_, texts, ticks, looks) => {
  expect(looksOf(timed({ windows: windows(...texts) }), ticks)).toEqual(looks);
});

describe('a fleet', () => {
  const group = (clients: number, change: Partial<TimedPolicy> = {}, ticks = DAILY): PolicyShare => ({
    name: 'p',
    policy: timed({ strategy: 'auto', ...change }),
    ticks,
    clients,
  });
  const TEN = { max: 10, perMs: 1_000 };

  /** Before each PATCH comes a look. */
  test.each(
    (['overlap', 'cutover', 'auto'] as const).flatMap((strategy) =>
      (['keep', 'jwks', 'pem', 'jwks_uri'] as const).map((format) => [strategy, format] as const),
    ),
  )('a rotation by %s with %s takes as many API calls as it is counted for', (strategy, format) => {
    const policy = { ...POLICY, strategy, format };
    const calls = (steps: readonly { step: string }[]) => 2 * steps.filter(({ step }) => step === 'patch').length;
    expect(calls(stepsOf(policy, false))).toBe(callsOf(policy));
    expect(calls(stepsOf(policy, true))).toBe(2);
  });

  function stepsOf(policy: typeof POLICY & Policy, compromised: boolean) {
    const asking = asked('r', compromised ? { kid: null } : null);
    const { record } = request(enrolledRecord(), asking, policy, START);
    return preview(record, policy, START, (alg) => material('b', alg));
  }

  test.each([
    ['one key at a time', [group(2_000)], { clients: 2_000, rotationMs: 400_000, compromiseMs: 400_000 }],
    ['overlaps', [group(2_000, { strategy: 'overlap' })], { rotationMs: 800_000, compromiseMs: 400_000 }],
    ['two policies', [group(10), group(20)], { clients: 30, rotationMs: 6_000, compromiseMs: 6_000 }],
    ['a full load', [group(100, { rotateEveryMs: 20_000 })], { load: 1 }],
    ['nobody', [], { clients: 0, rotationMs: 0, compromiseMs: 0, load: 0 }],
  ])('of %s takes its time', (_, groups, capacity) => {
    expect(capacityOf(groups, TEN)).toMatchObject(capacity);
  });

  test('may ask as often as Wacht lets all API keys of a deployment together', () => {
    expect(platformWarnings({ max: 10, perMs: 1_000 })).toEqual([]);
    expect(platformWarnings({ max: 500, perMs: MINUTE })).toEqual([]);
    const [warning] = platformWarnings({ max: 1_000, perMs: MINUTE });
    expect(warning).toMatchObject({ code: 'rate_limit_too_high', setting: 'rate_limit' });
    expect(warning?.message).toMatch(
      /^1000 requests in 1 min make up to 2000 in a minute, and Wacht allows .* 1000 together/,
    );
  });

  test('that its rate limit can just carry has no warning, and one client more has', () => {
    const most = group(100, { rotateEveryMs: 20_000 });
    const other = group(1, { rotateEveryMs: DAY });
    expect(limitWarnings([most], TEN)).toEqual([]);
    const [warning] = limitWarnings([most, other], TEN);
    expect(warning).toMatchObject({ code: 'rate_limit_too_low', setting: 'rate_limit' });
    expect(warning?.message).toMatch(/^rotating 101 clients on time takes .* Raise max to 11 /);
  });

  // Mondays to Thursdays at 03:00, two hours before the window closes, at 20 calls a second: 72,000 clients of two calls each.
  const NIGHTS = { windows: windows('Mon-Thu 01:00-05:00') };
  const TWENTY = { max: 20, perMs: 1_000 };
  test.each<[string, PolicyShare, string[]]>([
    ['no windows', group(1_000_000), []],
    ['what a window has room for', group(72_000, NIGHTS), []],
    ['one more', group(72_001, NIGHTS), ['window_too_short']],
    ['one more, spread over longer than it is closed', group(72_001, { ...NIGHTS, splayMs: 8 * DAY }), []],
    ['one more, spread over less', group(72_001, { ...NIGHTS, splayMs: 3 * DAY }), ['window_too_short']],
    ['a look a minute', group(144_000, NIGHTS, every(MINUTE)), []],
    ['a look a minute and one more', group(144_001, NIGHTS, every(MINUTE)), ['window_too_short']],
    ['a schedule that is never inside', group(72_001, { windows: windows('04:00-05:00') }), []],
  ])('and its windows: %s', (_, one, expected) => {
    expect(codes(windowWarnings(one, TWENTY))).toEqual(expected);
  });

  test('that goes on after its window is told how long', () => {
    const [warning] = windowWarnings(group(144_000, NIGHTS), TWENTY);
    expect(warning?.message).toMatch(
      /^144000 clients may be due .* take 4 h at 20 requests in 1 s: .* closed, 2 h after that look/,
    );
  });
});
