/** Who goes first, who follows, and what a wave that stopped lets begin. */
import { describe, expect, test } from 'vitest';
import { begun, commitOf, entryOf, fleetOf, rulesOf, snapshotOf, type Told } from './fleets.ts';
import { fresh, old, recordOf } from './subject.ts';
import { wavesAreKept } from './waves.ts';

const SIZE = 8;
const clients = fleetOf(SIZE, { alg: 'ES384', cohort: { first: '25%', then: '0s', stop_after: 1 } });
const before = snapshotOf(SIZE, recordOf([[old, 'active']]));
const proven = (index: number, rotation: string) =>
  commitOf(index, recordOf([[fresh, 'active']]), { type: 'key.activated', rotation });
const failed = (index: number, rotation: string) =>
  commitOf(index, recordOf([[old, 'active']]), { type: 'rotation.rolled_back', rotation });
const stopped = entryOf('policy.stopped', { policy: 'overlap', wave: 'w' });
const resumed = entryOf('policy.resumed', { policy: 'overlap' });

/** Longer than a page takes to be begun. */
const LATER_MS = 6_000;

const wave = (id: string, first = 2): Told => ({ kind: 'wave', policy: 'overlap', id, found: SIZE, first });
const first = [before, wave('w'), begun(0, 'r0', 'w'), begun(1, 'r1', 'w')];

const CASES: readonly (readonly [what: string, told: readonly Told[], ...rules: string[]])[] = [
  ['the rest follows', [...first, proven(0, 'r0'), proven(1, 'r1'), begun(2, 'r2', 'w')]],
  ['too many go first', [before, wave('w', 3), begun(0, 'r0', 'w')], 'cohort'],
  ['another one begins too early', [...first, proven(0, 'r0'), wave('x')], 'cohort'],
  ['another one begins later', [...first, proven(0, 'r0'), failed(1, 'r1'), wave('x', 1), begun(1, 'r3', 'x')]],
  ['nobody told that it began', [before, begun(0, 'r0', 'w')], 'cohort'],
  ['more go first', [...first, begun(2, 'r2', 'w')], 'cohort'],
  ['the rest follows too early', [...first, proven(0, 'r0'), begun(2, 'r2', 'w')], 'cohort'],
  ['one is tried again', [...first, failed(0, 'r0'), begun(0, 'r3', 'w')]],
  ['nobody goes first', [before, LATER_MS, begun(0, 'r0')], 'no_cohort'],
  [
    'the rest follows although one failed',
    [...first, failed(0, 'r0'), proven(1, 'r1'), LATER_MS, begun(2, 'r2', 'w')],
    'stopped_wave',
  ],
  [
    'a stopped wave goes on',
    [...first, failed(0, 'r0'), failed(1, 'r1'), stopped, LATER_MS, begun(0, 'r3', 'w')],
    'stopped_wave',
  ],
  [
    'a person resumes it',
    [...first, failed(0, 'r0'), failed(1, 'r1'), stopped, LATER_MS, resumed, LATER_MS, begun(2, 'r2', 'w')],
  ],
  [
    'it is never stopped',
    [...first, failed(0, 'r0'), failed(1, 'r1'), 20_000, snapshotOf(0, recordOf([]))],
    'not_stopped',
  ],
];

describe('a wave in which', () => {
  test.each(CASES.map(([what, told, ...rules]) => ({ what, told, rules })))('$what', ({ told, rules }) => {
    expect(rulesOf(wavesAreKept, clients, told)).toEqual(rules);
  });
});

test('few clients, and those of a policy that says nothing of it, begin at once', () => {
  const told = [before, LATER_MS, begun(0, 'r0'), begun(1, 'r1')];
  expect(rulesOf(wavesAreKept, fleetOf(SIZE, { rotate_every: '1s', cohort: { first: '25%' } }), told)).toEqual([]);
  expect(rulesOf(wavesAreKept, fleetOf(SIZE, { alg: 'ES384' }), told)).toEqual([]);
});

test('of many clients whose keys are old a part goes first', () => {
  const many = fleetOf(20, { rotate_every: '1s', cohort: { first: '25%' } });
  const told = [snapshotOf(20, recordOf([[old, 'active']])), LATER_MS, begun(0, 'r0')];
  expect(rulesOf(wavesAreKept, many, told)).toEqual(['no_cohort']);
});
