import { expect, test } from 'vitest';
import { wishedWaitMs } from '../../src/core/wish.ts';

const NOW = Date.UTC(2026, 10, 5, 12, 0, 0);
const said = (message: string) => JSON.stringify({ errors: [{ message, code: 429 }] });

test.each([
  ['nothing given', said('Too many keys'), {}, 60_000],
  ['not even a text', '', {}, 60_000],
  ['Retry-After in seconds', '', { 'retry-after': '7' }, 7_000],
  ['Retry-After with a fraction', '', { 'retry-after': '1.5' }, 1_500],
  ['Retry-After as a date', '', { 'retry-after': 'Thu, 05 Nov 2026 12:00:30 GMT' }, 30_000],
  ['Retry-After as an RFC 850 date', '', { 'retry-after': 'Thursday, 05-Nov-26 12:00:30 GMT' }, 30_000],
  ['Retry-After as an asctime date', '', { 'retry-after': 'Thu Nov  5 12:00:30 2026' }, 30_000],
  [
    'what the real server says: ms printed as seconds',
    said('Rate limit exceeded. Retry after 60000 seconds'),
    {},
    60_000,
  ],
  ['seconds in the message', said('Rate limit exceeded. Retry after 90 seconds'), {}, 90_000],
  ['ms in the message', said('Retry after 2500 ms'), {}, 2_500],
  ['the longest window that is taken for seconds', said('Retry after 999 seconds'), {}, 999_000],
  ['seconds in a plain text', 'Retry after 5s', {}, 5_000],
  ['a fraction in a text', 'Please retry in 2.5 seconds', {}, 2_500],
  ['both: the message is longer', said('Retry after 60 seconds'), { 'retry-after': '7' }, 60_000],
  ['both: the header is longer', said('Retry after 60 seconds'), { 'retry-after': '120' }, 120_000],
  ['a member', '{"retry_after":12}', {}, 12_000],
  ['a member in ms', '{"error":{"retryAfterMs":1500}}', {}, 1_500],
  ['a member of the first error', '{"errors":[{"message":"no","retry_after":"3"}]}', {}, 3_000],
  ['RateLimit', '', { ratelimit: '"default";r=0;t=30' }, 30_000],
  ['RateLimit of an older draft', '', { ratelimit: 'limit=10, remaining=0, reset=20' }, 20_000],
  ['RateLimit-Reset', '', { 'ratelimit-reset': '15' }, 15_000],
  ['X-RateLimit-Reset as a time', '', { 'x-ratelimit-reset': String(NOW / 1000 + 45) }, 45_000],
  ['a wish wins over what is left of a window', '', { 'retry-after': '2', 'ratelimit-reset': '50' }, 2_000],
  ['zero is at least a second', '', { 'retry-after': '0' }, 1_000],
  ['a date in the past is at least a second', '', { 'retry-after': 'Thu, 05 Nov 2026 11:00:00 GMT' }, 1_000],
  ['at most an hour', '', { 'retry-after': '999999999999999999999' }, 3_600_000],
  ['a header of nonsense', '', { 'retry-after': 'Monday, maybe' }, 60_000],
  ['a negative header', '', { 'retry-after': '-5' }, 60_000],
])('%s', (_, body, headers, expected) => {
  expect(wishedWaitMs({ status: 429, headers, body, now: NOW })).toBe(expected);
});
