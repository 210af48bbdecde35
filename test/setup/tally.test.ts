import { describe, expect, test } from 'vitest';
import { tally } from './tally.ts';

function report(...files: [status: string, ...tests: string[]][]): string {
  const testResults = files.map(([status, ...tests]) => ({
    status,
    assertionResults: tests.map((s) => ({ status: s })),
  }));
  return JSON.stringify({ testResults });
}

describe('the closing line of a run', () => {
  test.each<[string, string, number, { passed: number; failed: number }]>([
    ['adds up files', report(['passed', 'passed', 'passed'], ['passed', 'passed']), 0, { passed: 3, failed: 0 }],
    ['counts failed tests', report(['failed', 'passed', 'failed', 'failed']), 1, { passed: 1, failed: 2 }],
    [
      'counts neither skipped nor todo tests',
      report(['passed', 'passed', 'skipped', 'todo']),
      0,
      { passed: 1, failed: 0 },
    ],
    ['counts a file that could not be loaded', report(['passed', 'passed'], ['failed']), 1, { passed: 1, failed: 1 }],
    ['counts an error outside of every test', report(['passed', 'passed']), 1, { passed: 1, failed: 1 }],
    ['is never all zeros when no test ran', report(), 0, { passed: 0, failed: 1 }],
    ['is never all zeros when all tests were skipped', report(['passed', 'skipped']), 0, { passed: 0, failed: 1 }],
    ['fails without a report', '', 0, { passed: 0, failed: 1 }],
    ['fails with a report that is cut off', '{"testResults":[', 0, { passed: 0, failed: 1 }],
    ['fails with a report of another shape', '[]', 0, { passed: 0, failed: 1 }],
  ])('%s', (_, text, exitStatus, expected) => {
    expect(tally(text, exitStatus)).toEqual(expected);
  });
});
