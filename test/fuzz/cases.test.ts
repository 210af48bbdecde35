/** What the fuzz tests rest on: a planted case makes each of their checks fail. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RekeydError } from '../../src/errors.ts';
import { came, fuzz, piecesOf } from './cases.ts';

const SECRET = 'Zm9vYmFyYmF6cXV1eGZvb2JhcmJhenF1dXhmb29iYXI';

const thrower = (error: unknown) => () => {
  throw error;
};

test.each<[string, unknown, RegExp]>([
  ['shows a secret', new RekeydError('config', `this is wrong: ${SECRET}`), /an error shows a secret/],
  ['shows a piece of it', new RekeydError('config', SECRET.slice(12, 24)), /an error shows a secret/],
  ['has a cause that shows it', new RekeydError('config', 'wrong', { cause: new Error(SECRET) }), /shows a secret/],
  ['is not documented', new TypeError('x is not a function'), /x is not a function/],
  ['has a message without end', new RekeydError('config', 'x'.repeat(200_000)), /a message of 200000 characters/],
])('an error that %s fails the test', async (_, error, says) => {
  await expect(came(thrower(error), piecesOf(SECRET))).rejects.toThrow(says);
});

test('a documented error that shows nothing, and a value, are told', async () => {
  const error = new RekeydError('config', 'wrong');
  expect(await came(thrower(error), piecesOf(SECRET))).toEqual({ error });
  expect(await came(() => 7)).toEqual({ value: 7 });
});

test.each([
  ['of the corpus', 'in the corpus'],
  ['at random', 'a'],
])('one bad case %s fails the run', async (_, bad) => {
  const run = fuzz(fc.constantFrom('a', 'b', 'c'), ['in the corpus'], (text) => expect(text).not.toBe(bad));
  await expect(run).rejects.toThrow(/Property failed/);
});
