/** The lifeline of a client against what its record said all along, over random histories of crashes, answers, clocks and people. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ClientRecord } from '../../../src/core/record.ts';
import { lifelineOf } from '../../../src/status/lifeline/lifeline.ts';
import { plannedSteps } from '../../../src/status/lifeline/planned.ts';
import type { Lifeline, LifelineKey, LifelineSpan } from '../../../src/status/views.ts';
import { Play } from '../../core/play.ts';
import { story } from '../../core/story.ts';
import { POLICY } from '../../core/support.ts';

const STORIES = Number(process.env.REKEYD_STORIES ?? 300);
const ALWAYS = { windows: [], freeze: [], timezone: 'UTC' };

it('each key is drawn as its record said that it was, and nothing lies outside', () => {
  fc.assert(
    fc.property(story, (told) => {
      const play = new Play(told);
      const { world } = play;
      // Of what happens within one moment, the last is what stays.
      const samples = new Map<number, ClientRecord>();
      for (const incident of told.incidents) {
        play.happen(incident);
        samples.set(world.now, world.record);
      }
      const planned = plannedSteps(world.record, { ...POLICY, ...ALWAYS }, world.now);
      const line = lifelineOf(world.record, world.history, planned, world.now);
      checkShape(line);
      for (const [at, record] of samples) checkSample(line, at, record);
    }),
    { numRuns: STORIES, interruptAfterTimeLimit: 25 * STORIES },
  );
}, 75_000);

function checkShape(line: Lifeline): void {
  const { now, from, until, keys, marks, planned } = line;
  expect(from).toBeLessThanOrEqual(now);
  expect(until).toBeGreaterThanOrEqual(now);
  const times = [...marks, ...planned].map(({ at }) => at);
  for (const at of times) expect(at >= from && at <= until, `${at} lies outside`).toBe(true);
  for (const at of marks.map((mark) => mark.at)) expect(at).toBeLessThanOrEqual(now);
  for (const [index, { at }] of planned.entries()) expect(at).toBeGreaterThanOrEqual(planned[index - 1]?.at ?? now);
  for (const { spans, until: end } of keys) {
    let last = from;
    for (const [index, span] of spans.entries()) {
      expect(span.from, 'spans follow each other').toBeGreaterThanOrEqual(last);
      if (span.to === null) expect(index, 'only the last goes on').toBe(spans.length - 1);
      else expect(span.to, 'ends after its beginning').toBeGreaterThan(span.from);
      last = span.to ?? now;
      expect(last).toBeLessThanOrEqual(now);
    }
    if (end !== null) expect(end).toBeGreaterThanOrEqual(now);
  }
  const active = keys
    .filter(({ ours }) => ours)
    .flatMap(({ spans }) => spans.filter(({ state }) => state === 'active'));
  active.sort((a, b) => a.from - b.from);
  for (const [index, { from: began }] of active.entries()) {
    const before = active[index - 1];
    if (before !== undefined)
      expect(before.to ?? Number.POSITIVE_INFINITY, 'two keys active at once').toBeLessThanOrEqual(began);
  }
}

function checkSample(line: Lifeline, at: number, record: ClientRecord): void {
  for (const { kid, state } of record.keys) {
    const drawn = line.keys.find((key) => key.kid === kid && key.ours);
    const span = drawn === undefined ? undefined : spanAt(drawn, at);
    // A key that never came into use is forgotten with its rotation, and how old it was.
    if (span === undefined && state === 'pre-active') continue;
    // When a key that is not in use was reported is not always noted; that it was, is.
    const isOut = (one: string | undefined) => one !== 'active' && (state === 'compromised' || one !== 'pre-active');
    const isReported = [state, span?.state].includes('compromised');
    if (at < line.now && isReported && isOut(state) && isOut(span?.state)) continue;
    expect(span?.state, `${kid} at ${at}: ${JSON.stringify(drawn)}`).toBe(state);
  }
}

function spanAt({ spans }: LifelineKey, at: number): LifelineSpan | undefined {
  return spans.find(({ from, to }) => from <= at && (to === null || at < to));
}
