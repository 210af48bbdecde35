/** Reads vitest's JSON report for the closing line of `.ci/run`. */

export interface Tally {
  readonly passed: number;
  readonly failed: number;
}

interface FileResult {
  readonly status: string;
  readonly assertionResults: readonly { readonly status: string }[];
}

function isFileResult(value: unknown): value is FileResult {
  return typeof value === 'object' && value !== null && 'status' in value && 'assertionResults' in value;
}

function parseFiles(report: string): FileResult[] {
  try {
    const { testResults }: { testResults?: unknown } = JSON.parse(report);
    return Array.isArray(testResults) ? testResults.filter(isFileResult) : [];
  } catch {
    return [];
  }
}

/**
 * Counts tests. A failure that no test shows counts as one, so that a red run never looks green: a file that could not be loaded, a run
 * that ended with a status other than 0, a run without a readable report or without any test.
 */
export function tally(report: string, exitStatus: number): Tally {
  let passed = 0;
  let failed = 0;
  for (const file of parseFiles(report)) {
    const failures = file.assertionResults.filter(({ status }) => status === 'failed').length;
    passed += file.assertionResults.filter(({ status }) => status === 'passed').length;
    failed += file.status === 'failed' ? Math.max(failures, 1) : failures;
  }
  const unseen = failed === 0 && (passed === 0 || exitStatus !== 0);
  return { passed, failed: unseen ? 1 : failed };
}
