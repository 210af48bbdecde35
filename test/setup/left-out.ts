/** What a run of the tests left out, and why: said at its end, so that nobody takes it for the whole. */
import type { Reporter, TestModule } from 'vitest/node';
import { redisKinds } from '../support/redis.ts';
import { leftForCi } from './once.ts';

/** The servers that the tests are made for. */
const KINDS = ['valkey', 'redis'] as const;

export interface Skipped {
  /** Folder or file. */
  readonly where: string;
  /** Why, as the test says it. */
  readonly why: string;
}

/** @param kinds the servers on this machine */
export function leftOut(skipped: readonly Skipped[], kinds: readonly string[]): readonly string[] {
  const reasons = new Map<string, Skipped[]>();
  for (const one of skipped) reasons.set(one.why, [...(reasons.get(one.why) ?? []), one]);
  const lines = [...reasons].map(([why, tests]) => {
    const places = [...new Set(tests.map(({ where }) => where))].join(', ');
    return `Left out: ${tests.length === 1 ? '1 test' : `${tests.length} tests`} in ${places}: ${why}.`;
  });
  const missing = KINDS.filter((kind) => !kinds.includes(kind)).map((kind) => `${kind}-server`);
  if (missing.length === 0 || kinds.length === 0) return lines;
  const [there] = kinds;
  return [
    ...lines,
    `Left out: whatever runs once on each kind of server ran on ${there}-server alone; ${missing.join(', ')} is not on the PATH.`,
  ];
}

/** @param asked the environment's REKEYD_TESTS */
export function forCi(asked: string | undefined): readonly string[] {
  const files = leftForCi(asked);
  return files.length === 0
    ? []
    : [`Left out: ${files.join(', ')}: .ci/run runs them. REKEYD_TESTS=all npm test does, too.`];
}

export default class LeftOut implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const lines = [...leftOut(modules.flatMap(skippedIn), redisKinds), ...forCi(process.env.REKEYD_TESTS)];
    if (lines.length > 0) process.stdout.write(`\n${lines.join('\n')}\n`);
  }
}

/** Tests that give no reason were not asked for, as with `-t`. */
function skippedIn(module: TestModule): readonly Skipped[] {
  return [...module.children.allTests('skipped')].flatMap((test) => {
    const result = test.result();
    const why = result.state === 'skipped' ? result.note : undefined;
    return why === undefined ? [] : [{ where: module.relativeModuleId, why }];
  });
}
