/** What an answer's `Date` says. */
import { expect, test, vi } from 'vitest';
import { dateOf } from '../../src/signer/refusal.ts';

test.each(['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994'])(
  '%s is UTC, wherever this machine is',
  (date) => {
    vi.stubEnv('TZ', 'America/New_York');
    try {
      expect(new Date(784_111_777_000).getHours(), 'another hour here than in UTC').toBe(3);
      expect(dateOf({ status: 401, headers: { date } })).toBe(784_111_777_000);
    } finally {
      vi.unstubAllEnvs();
    }
  },
);
