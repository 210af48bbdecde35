/** The signer for Node.js keeps the table that it shares with those for Python and Go. */
import { describe, expect, test } from 'vitest';
import { runCase } from './table/run.ts';
import { type Case, readTable } from './table/schema.ts';

const table = readTable();

/** Root may read every file. */
const isRoot = process.getuid?.() === 0;

function isForOthers({ steps }: Case): boolean {
  return isRoot && steps.some((step) => 'damage' in step && step.damage?.some(({ how }) => how === 'denied'));
}

describe('the table of cases', () => {
  test.for(table.map((one) => [one.name, one] as const))('%s', async ([, one], { skip }) => {
    // processes.test.ts does it as another user.
    skip(isForOthers(one), 'root may read every file');
    await runCase(one);
  });

  test('has each name once', () => {
    const names = table.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(50);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe('the runner fails a case', () => {
  const open = [{ deliver: { current: 'A', next: 'B' } }, { open: {} }] as const;
  const refused = { authenticate: [{ status: 401 }, { status: 200 }] };
  test.each<[string, Case['steps'][number]]>([
    ['of another key', { assertion: {}, expect: { kid: 'B' } }],
    ['of another time', { assertion: {}, expect: { iat: 0 } }],
    ['whose error does not come', { assertion: {}, expect: { error: 'no_key' } }],
    ['with fewer requests', { ...refused, expect: { sent: [{ kid: 'A' }], status: 200 } }],
    ['with more requests', { ...refused, expect: { sent: [{ kid: 'A' }, { kid: 'B' }, { kid: 'A' }], status: 200 } }],
    ['with another status', { ...refused, expect: { sent: [{ kid: 'A' }, { kid: 'B' }], status: 401 } }],
    ['in which nothing is told', { assertion: {}, expect: { kid: 'A', told: ['clock'] } }],
    ['in which something is told', { authenticate: [{ status: 401, date: 100 }], expect: { status: 401 } }],
    ['that needs more answers', { authenticate: [{ status: 401 }], expect: { sent: [{ kid: 'A' }], status: 401 } }],
  ])('%s', async (_, step) => {
    const steps: Case['steps'] = [...open, step];
    await expect(runCase({ name: 'broken', steps })).rejects.toThrow(/step 3/);
  });
});
