/** What a person sees of a fleet that rotates: the line of progress, and what is told of single clients. */
import { expect, test } from 'vitest';
import type { RotationOutcome } from '../../src/commands/follow.ts';
import { watchRotations } from '../../src/commands/outcomes.ts';
import { type Counts, openProgress, progressLine } from '../../src/commands/progress.ts';
import { makeReference } from '../../src/core/client.ts';

const NOTHING: Counts = { total: 3000, done: 0, failed: 0, active: 0, underWay: 0, retrying: 0 };

test.each<[string, Partial<Counts>, number | null, string]>([
  ['at first', {}, null, '0 of 3000 done'],
  [
    'at a rate',
    { done: 1200, failed: 2, underWay: 10 },
    38,
    '1200 of 3000 done, 2 failed, 10 under way, 38 a second, 48 s left',
  ],
  ['slowly', { done: 2999 }, 0.02, '2999 of 3000 done, 1 a minute, 50 s left'],
  ['held up', { underWay: 10, retrying: 7 }, null, '0 of 3000 done, 10 under way (7 try a step again)'],
  ['before the old keys go', { active: 3000 }, null, '0 of 3000 done, 3000 with their new keys in use'],
])('the line of progress %s', (_, counts, rate, line) => {
  expect(progressLine({ ...NOTHING, ...counts }, rate)).toBe(line);
});

function screen(columns: number | null) {
  const clock = { now: 0 };
  const written: string[] = [];
  const progress = openProgress({ columns, write: (text) => written.push(text), now: () => clock.now });
  const show = (at: number, counts: Partial<Counts>) => {
    clock.now = at;
    progress.show({ ...NOTHING, ...counts });
  };
  return { progress, show, text: () => written.splice(0).join('') };
}

test('without a terminal there is a line a minute', () => {
  const { progress, show, text } = screen(null);
  show(1_000, { done: 1 });
  expect(text()).toBe('');
  show(60_000, { done: 1 });
  expect(text()).toMatch(/^1 of 3000 done.*\n$/);
  show(119_999, { done: 2 });
  expect(text()).toBe('');
  show(120_000, { done: 2 });
  expect(text()).toMatch(/^2 of 3000 done.*\n$/);
  progress.tell('a line that stays');
  progress.end();
  expect(text()).toBe('a line that stays\n');
});

test('on a terminal there is one line, which makes room for what is told and never wraps', () => {
  const { progress, show, text } = screen(30);
  show(0, { done: 1700 });
  expect(text()).toBe('\x1b[2K1700 of 3000 done\r');
  show(200, { done: 1700 });
  expect(text(), 'nothing new').toBe('');
  progress.tell('a line that stays');
  expect(text()).toBe('\x1b[2Ka line that stays\n');
  show(10_000, { done: 1800, underWay: 50 });
  expect(text(), 'cut off; the rate is that since the first look').toBe('\x1b[2K1800 of 3000 done, 50 under w\r');
  progress.end();
  expect(text()).toBe('\x1b[2K');
});

const outcome = (id: number, more: Partial<RotationOutcome> = {}): RotationOutcome => ({
  ...{ id: `r${id}`, client: makeReference('1', 'app', `${id}`), state: 'running', strategy: 'cutover' },
  ...{ kid: null, replaces: null, error: null, offered: false, ...more },
});

function watched(total: number, verbose = false) {
  const told: string[] = [];
  let last: Counts = NOTHING;
  const progress = {
    show: (counts: Counts) => {
      last = counts;
    },
    tell: (line: string) => told.push(line),
    end: () => {},
  };
  const watch = watchRotations({ goal: 'active', total, verbose, json: false }, progress);
  const counts = () => {
    watch.looked();
    return last;
  };
  return { watch, told, counts };
}

test('of a large fleet only what fails is told and kept, failures are told up to a number, and all are counted', () => {
  const { watch, told, counts } = watched(100);
  for (let id = 0; id < 100; id += 1) watch.moved(outcome(id), 'stored', null);
  expect(told).toEqual([]);
  expect(counts()).toEqual({ ...NOTHING, total: 100, underWay: 100 });
  for (let id = 0; id < 60; id += 1) watch.ended(outcome(id, { state: 'active' }));
  const failed = { state: 'failed', error: 'refused' } as const;
  for (let id = 60; id < 100; id += 1) {
    watch.moved(outcome(id, failed), 'failed', 'refused');
    watch.ended(outcome(id, failed));
  }
  expect(counts()).toEqual({ ...NOTHING, total: 100, done: 60, failed: 40 });
  expect(told).toHaveLength(21);
  expect(told.at(-1)).toMatch(/^More has failed/);
  expect(watch.outcomes().map(({ state }) => state)).toEqual(Array(40).fill('failed'));
  expect([...watch.counts()]).toEqual([
    ['active', 60],
    ['failed', 40],
  ]);
  expect(watch.isGood).toBe(false);
});

test('a step that many clients fail at for the same reason is told once, and again when the reason changes', () => {
  const { watch, told, counts } = watched(50);
  const away = (id: number) => `PATCH ${outcome(id).client}: the API does not answer`;
  for (let id = 0; id < 50; id += 1) watch.moved(outcome(id), 'delivered', away(id));
  expect(told).toEqual([`${outcome(0).client}  delivered: ${away(0)}`]);
  expect(counts()).toMatchObject({ underWay: 50, retrying: 50 });
  watch.moved(outcome(7), 'delivered', 'the answer is cut off');
  expect(told).toHaveLength(2);
  watch.moved(outcome(7), 'published', null);
  expect(counts()).toMatchObject({ underWay: 50, retrying: 49 });
});

test('--verbose tells each step and keeps all; of few rotations all are kept, failures first', () => {
  const loud = watched(100, true);
  loud.watch.moved(outcome(1), 'stored', null);
  loud.watch.ended(outcome(1, { state: 'active' }));
  expect(loud.told).toEqual([`${outcome(1).client}  stored`]);
  expect(loud.watch.outcomes()).toHaveLength(1);
  const few = watched(3);
  few.watch.ended(outcome(1, { state: 'finished' }));
  few.watch.ended(outcome(2, { state: 'rolled_back', error: 'not proven' }));
  few.watch.ended(outcome(3, { offered: true }));
  expect(few.watch.outcomes().map(({ id }) => id)).toEqual(['r2', 'r3', 'r1']);
});
