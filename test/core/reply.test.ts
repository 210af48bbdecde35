import { describe, expect, test } from 'vitest';
import { classifyReply, shortMessage } from '../../src/core/reply.ts';

const NOW = Date.UTC(2026, 10, 5, 12, 0, 0);

function classify(status: number, body: string, retryAfter: string | null = null) {
  return classifyReply({ status, headers: { retryAfter }, body, now: NOW });
}

const errors = (...messages: string[]) =>
  JSON.stringify({ errors: messages.map((message) => ({ message, code: 400 })) });

describe('the class of a status', () => {
  test.each([
    [200, 'done'],
    [201, 'done'],
    [301, 'refused'],
    [302, 'refused'],
    [307, 'refused'],
    [308, 'refused'],
    [400, 'refused'],
    [401, 'credential'],
    [403, 'forbidden'],
    [404, 'refused'],
    [405, 'refused'],
    [408, 'unknown'],
    [409, 'unknown'],
    [410, 'refused'],
    [413, 'refused'],
    [415, 'refused'],
    [418, 'refused'],
    [422, 'refused'],
    [429, 'throttled'],
    [500, 'unknown'],
    [502, 'unknown'],
    [503, 'unknown'],
    [504, 'unknown'],
    [520, 'unknown'],
  ])('%i is %s', (status, expected) => {
    expect(classify(status, errors('why'))).toMatchObject({ class: expected, status });
  });
});

describe('the body of a success', () => {
  test.each([
    ['bare', '{"id":"1"}', { id: '1' }],
    ['wrapped in data', '{"data":{"id":"1"}}', { id: '1' }],
    ['an empty data member is not a wrapper', '{"data":null,"id":"1"}', { data: null, id: '1' }],
    ['null', 'null', null],
  ])('%s', (_, body, expected) => {
    expect(classify(200, body)).toEqual({ class: 'done', status: 200, body: expected });
  });

  test('204 has none', () => {
    expect(classify(204, '')).toEqual({ class: 'done', status: 204, body: null });
  });

  test.each([
    ['empty', '', 'the answer is not JSON: (empty)'],
    ['a page', '<html>Welcome</html>', 'the answer is not JSON: <html>Welcome</html>'],
    ['cut off', '{"id":"1"', 'the answer is not JSON: {"id":"1"'],
  ])('%s: what the server did is unknown', (_, body, message) => {
    expect(classify(200, body)).toEqual({ class: 'unknown', status: 200, message });
  });
});

describe('the wait after a 429', () => {
  const message = errors('Rate limit exceeded. Retry after 60 seconds');
  test.each([
    ['nothing given', errors('Too many keys'), null, 60_000],
    ['not even a text', '', null, 60_000],
    ['Retry-After in seconds', '', '7', 7_000],
    ['Retry-After as a date', '', 'Thu, 05 Nov 2026 12:00:30 GMT', 30_000],
    ['Retry-After as an RFC 850 date', '', 'Thursday, 05-Nov-26 12:00:30 GMT', 30_000],
    ['Retry-After as an asctime date', '', 'Thu Nov  5 12:00:30 2026', 30_000],
    ['seconds in the message', errors('Rate limit exceeded. Retry after 90 seconds'), null, 90_000],
    ['seconds in a plain text', 'Retry after 5s', null, 5_000],
    ['both: the message is longer', message, '7', 60_000],
    ['both: the header is longer', message, '120', 120_000],
    ['a header shorter than the default counts', '', '2', 2_000],
    ['zero is at least a second', '', '0', 1_000],
    ['a date in the past is at least a second', '', 'Thu, 05 Nov 2026 11:00:00 GMT', 1_000],
    ['at most an hour', '', '999999999999999999999', 3_600_000],
    ['a header that is neither seconds nor a date', '', '1.5', 60_000],
    ['a header of nonsense', '', 'Monday, maybe', 60_000],
    ['a negative header', '', '-5', 60_000],
  ])('%s', (_, body, retryAfter, expected) => {
    expect(classify(429, body, retryAfter)).toMatchObject({ class: 'throttled', retryAfterMs: expected });
  });
});

describe('the message', () => {
  test.each([
    ['errors joined', errors('jwks.keys must not be empty', 'alg is odd'), 'jwks.keys must not be empty; alg is odd'],
    ['an OAuth error', '{"error":"invalid_client","error_description":"no"}', 'invalid_client: no'],
    ['a text', 'Something went wrong', 'Something went wrong'],
    ['errors of another shape', '{"errors":"no"}', '{"errors":"no"}'],
    ['nothing', '', 'HTTP 400 without a text'],
    ['terminal control sequences', errors('a\u001b[31mb\r\nc\u202ed'), 'a [31mb c d'],
  ])('%s', (_, body, expected) => {
    expect(classify(400, body)).toEqual({ class: 'refused', status: 400, message: expected });
  });

  test('is at most 300 characters, and no half character at the end', () => {
    const short = shortMessage(`${'x'.repeat(298)}${'🔑'.repeat(200)}`);
    expect(short.length).toBe(300);
    expect(short.isWellFormed()).toBe(true);
    expect(short.endsWith('…')).toBe(true);
  });
});
