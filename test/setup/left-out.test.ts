import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { forCi, leftOut } from './left-out.ts';

const BOTH = ['valkey', 'redis'];

test('the end of a run says nothing where nothing was left out', () => {
  expect(leftOut([], BOTH)).toEqual([]);
});

test('the end of a run says how many tests were left out, where, and why', () => {
  const skipped = [
    { where: 'test/a.test.ts', why: 'there is no disk' },
    { where: 'test/b.test.ts', why: 'there is no net' },
    { where: 'test/a.test.ts', why: 'there is no disk' },
  ];
  expect(leftOut(skipped, BOTH)).toEqual([
    'Left out: 2 tests in test/a.test.ts: there is no disk.',
    'Left out: 1 test in test/b.test.ts: there is no net.',
  ]);
});

test('the end of a run says on which server alone the tests ran', () => {
  expect(leftOut([], ['redis'])).toEqual([expect.stringMatching(/ran on redis-server alone; valkey-server is not/)]);
  expect(leftOut([], ['valkey'])).toEqual([expect.stringMatching(/ran on valkey-server alone; redis-server is not/)]);
});

test('what only .ci/run runs is named, with the way to run it, and it is there', () => {
  expect(forCi('all')).toEqual([]);
  const [line = '', ...others] = forCi(undefined);
  expect(others).toEqual([]);
  expect(line).toMatch(/REKEYD_TESTS=all npm test/);
  const files = line.match(/test\/\S+\.test\.ts/g) ?? [];
  expect(files).toContain('test/deploy/image.test.ts');
  for (const file of files) expect(existsSync(new URL(`../../${file}`, import.meta.url)), file).toBe(true);
  expect(readFileSync(new URL('../../.ci/run', import.meta.url), 'utf8')).toContain('REKEYD_TESTS=all npm test');
});
