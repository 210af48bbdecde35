import { beforeAll, describe, expect, test } from 'vitest';
import { EXCEPTIONS } from './exceptions.ts';
import { EXCHANGES } from './exchange.ts';
import { type Result, runExchanges } from './run.ts';

let results: ReadonlyMap<string, Result>;

beforeAll(async () => {
  results = await runExchanges();
});

const alike = EXCHANGES.filter(({ name }) => !EXCEPTIONS.has(name));

describe('answers as the real server was recorded to', () => {
  test.each(alike.filter(({ derived }) => !derived))('$name', ({ name }) => {
    expect(results.get(name)?.seen).toEqual(results.get(name)?.expected);
  });
});

describe('answers as the platform’s source says', () => {
  test.each(alike.filter(({ derived }) => derived))('$name', ({ name }) => {
    expect(results.get(name)?.seen).toEqual(results.get(name)?.expected);
  });
});

test.each([...EXCEPTIONS.keys()])('the exception for “%s” is needed', (name) => {
  expect(results.has(name)).toBe(true);
  expect(results.get(name)?.seen).not.toEqual(results.get(name)?.expected);
});
