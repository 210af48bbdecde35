/** The settings that say when: schedules, time zones, windows and freezes. See {@link ./fields.ts}. */
import { parseFreeze } from '../core/calendar.ts';
import { parseWindow } from '../core/window.ts';
import { cronProblem } from './cron.ts';
import { text } from './fields.ts';

export function cron(description: string) {
  const expected = '5 or 6 cron fields in quotes, such as "0 3 * * *"';
  return text({ description }, expected, (value, refuse) => {
    const problem = cronProblem(value);
    return problem === null ? value : refuse(`${problem}: write ${expected}`);
  });
}

export function timezone(description: string) {
  const expected = 'an IANA name such as UTC or Europe/Berlin';
  return text({ description }, expected, (value, refuse) =>
    isTimezone(value) ? value : refuse(`is not a time zone: write ${expected}`),
  );
}

/** Intl also takes offsets such as +01:00, which know nothing of summer time: a name starts with a letter. */
function isTimezone(value: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: value });
    return /^[A-Za-z]/.test(value);
  } catch {
    return false;
  }
}

export function window(description: string) {
  const expected = 'days and hours, such as "Mon-Thu 01:00-05:00" or "Sat,Sun 00:00-24:00"';
  return text(
    { description },
    expected,
    (value, refuse) => parseWindow(value) ?? refuse(`is not a window: write ${expected}`),
  );
}

export function freeze(description: string) {
  const expected = 'first and last day, such as "2026-12-18/2027-01-04"';
  return text(
    { description },
    expected,
    (value, refuse) => parseFreeze(value) ?? refuse(`is not a range of days: write ${expected}`),
  );
}
