import { describe, expect, test } from 'vitest';
import { classifyReply, shortMessage } from '../../src/core/reply.ts';

function classify(status: number, body: string) {
  return classifyReply({ status, headers: {}, body, now: 0 });
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
    [421, 'unknown'],
    [422, 'refused'],
    [423, 'unknown'],
    [425, 'unknown'],
    [429, 'throttled'],
    [500, 'unknown'],
    [502, 'unknown'],
    [503, 'unknown'],
    [504, 'unknown'],
    [520, 'unknown'],
  ])('%i is %s', (status, expected) => {
    expect(classify(status, expected === 'done' ? '{}' : errors('why'))).toMatchObject({ class: expected, status });
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
    ['empty', '', 'the answer is empty'],
    ['a page', '<html><head><title>Welcome</title></head><body>…', 'the answer is a page, and no JSON: Welcome'],
    ['a page without a title', '<html>Welcome</html>', 'the answer is a page, and no JSON: Welcome'],
    ['cut off', '{"id":"1"', 'the answer is cut off: {"id":"1"'],
    ['a text', 'id=1', 'the answer is not JSON: id=1'],
    ['an error', errors('Something went wrong'), 'the answer is an error: Something went wrong'],
  ])('%s: what the server did is unknown', (_, body, message) => {
    expect(classify(200, body)).toEqual({ class: 'unknown', status: 200, message });
  });

  test('a client whose members are called like those of an error is one', () => {
    const body = { id: '1', error: 'a name', errors: [{ message: 'another' }] };
    expect(classify(200, JSON.stringify(body))).toEqual({ class: 'done', status: 200, body });
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
