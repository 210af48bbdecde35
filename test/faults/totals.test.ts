import { expect, test } from 'vitest';
import type { ScenarioResult } from './stage/scenario.ts';
import { totalsOf } from './totals.ts';

const NO_MUTANTS = { total: 0, caught: 0 };
const RESULT: ScenarioResult = {
  kind: 'kills',
  seed: 1,
  seconds: 1,
  kills: 3,
  randomKills: 2,
  deeds: 1,
  lockLosses: 0,
  redisFaults: 0,
  apiFaults: 0,
  edits: 0,
  rotations: 5,
  logins: { ok: 9, fallback: 1, refused: 0 },
  violations: [{ rule: 'lost_key', ref: '1/a/2', message: 'gone' }],
  remarks: [],
  points: new Set(),
  dir: null,
};

test('a seed that broke the harness is a violation beside those of the others: nobody knows what it would have found', () => {
  const broken = [{ kind: 'redis', seed: 7, message: 'no Redis to break' }];
  expect(totalsOf([RESULT], broken, NO_MUTANTS)).toMatchObject({
    seeds: 1,
    kinds: { kills: 1 },
    rotations: 5,
    lost_keys: 1,
    violations: [
      { kind: 'kills', seed: 1, rule: 'lost_key', ref: '1/a/2', message: 'gone' },
      { kind: 'redis', seed: 7, rule: 'no_judgement', ref: null, message: 'no Redis to break' },
    ],
  });
});

test('a run in which all is well has none', () => {
  expect(totalsOf([{ ...RESULT, violations: [] }], [], NO_MUTANTS)).toMatchObject({ lost_keys: 0, violations: [] });
});
