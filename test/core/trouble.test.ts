import { describe, expect, it } from 'vitest';
import type { ClientRecord } from '../../src/core/record.ts';
import type { Tries } from '../../src/core/tries.ts';
import { type Trouble, troublesSince } from '../../src/core/trouble.ts';
import { OPERATOR, POLICY, retirement, retiringRecord, rotating, START, tries, withServer } from './support.ts';

const AWAY = tries({ failed: 1, notBefore: START + 1_000, error: 'away' });
const BROKEN = tries({ failed: 2, notBefore: START + 3_000, error: 'broken' });
const LAST = tries({ failed: POLICY.attempts, notBefore: START + 9_000, error: 'away' });

const fails = (error: string, failed: number, ms: number) => ({ kind: 'fails', error, failed, nextAt: START + ms });

/** Each part that has tries of its own, with such tries. */
const PARTS: readonly (readonly [string, (of: Tries) => ClientRecord])[] = [
  ['a rotation', (of) => rotating('overlap', 'published', {}, { tries: of })],
  ['an old key', (of) => retiringRecord(retirement('withdrawing', { tries: of }))],
  ['what is published', (of) => withServer(rotating('overlap', 'published'), { tries: of })],
  ['a delivery', (of) => deliveries(of)],
];

function deliveries(of: Tries): ClientRecord {
  const record = rotating('overlap', 'published');
  return { ...record, signers: { ...record.signers, tries: of } };
}

describe.each(PARTS)('%s', (_, having) => {
  it.each<[string, Tries, Tries, readonly object[]]>([
    ['fails for the first time', tries({}), AWAY, [fails('away', 1, 1_000)]],
    ['fails in the same way', AWAY, { ...AWAY, failed: 2 }, []],
    ['fails in another way', AWAY, BROKEN, [fails('broken', 2, 3_000)]],
    ['has nothing new to say', AWAY, AWAY, []],
    ['works again', BROKEN, tries({}), [{ kind: 'works', error: 'broken' }]],
    ['never failed', tries({}), tries({}), []],
    ['is asked to wait', tries({}), tries({ error: 'wait 5 s' }), [{ ...fails('wait 5 s', 0, 0), nextAt: 0 }]],
    ['is asked to wait for another time', tries({ error: 'wait 5 s' }), tries({ error: 'wait 4 s' }), []],
    [
      'has used its attempts up',
      { ...LAST, failed: LAST.failed - 1 },
      LAST,
      [{ kind: 'used_up', error: 'away', failed: LAST.failed, nextAt: LAST.notBefore }],
    ],
    ['goes on after that', LAST, { ...LAST, failed: LAST.failed + 1 }, []],
  ])('that %s', (_, was, is, told) => {
    expect(troublesSince(having(was), having(is), POLICY)).toEqual(told);
  });
});

it('is told anew of the next rotation, and not of the end of one, which is told as such', () => {
  const failing = rotating('overlap', 'published', {}, { tries: AWAY });
  const next = rotating('overlap', 'requested', {}, { id: 'r2', tries: AWAY });
  expect(troublesSince(failing, next, POLICY)).toEqual([fails('away', 1, 1_000)]);
  expect(troublesSince(failing, { ...failing, rotation: null }, POLICY)).toEqual([]);
});

it('is no failure that a person has ended a rotation', () => {
  const abandoned = rotating('cutover', 'cut_over', {}, { abandoned: OPERATOR });
  const back = rotating('cutover', 'reverting', {}, { tries: tries({ error: 'abandoned: drill' }) });
  expect(troublesSince(abandoned, back, POLICY)).toEqual([]);
});

it('leaves it to rotation.delayed that signers hold an overlap up', () => {
  const overlap = retirement('overlap');
  const delayed = { ...overlap, delayed: true as const, tries: tries({ error: 'signers still sign with it' }) };
  expect(troublesSince(retiringRecord(overlap), retiringRecord(delayed), POLICY)).toEqual([]);
});

it('tells of reports that cannot be read, once, and when they can', () => {
  const heard = (error: string | null): ClientRecord => {
    const record = rotating('overlap', 'published');
    return { ...record, signers: { ...record.signers, reported: { at: START, signers: [], error } } };
  };
  const told = (was: string | null, is: string | null): readonly Trouble[] =>
    troublesSince(heard(was), heard(is), POLICY);
  expect(told(null, 'EACCES')).toEqual([{ kind: 'fails', error: 'EACCES', failed: 1, nextAt: null }]);
  expect(told('EACCES', 'EACCES')).toEqual([]);
  expect(told('EACCES', null)).toEqual([{ kind: 'works', error: 'EACCES' }]);
});
