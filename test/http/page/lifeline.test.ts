/** The pictures of a lifeline: where things lie in them, and that short rotations in long histories are seen. */
import { assert, integer, property, uniqueArray } from 'fast-check';
import { expect, it } from 'vitest';
import { lifeline } from '../../../src/http/page/views/lifeline/lifeline.ts';
import { evenScale, steppedScale, ticksOf } from '../../../src/http/page/views/lifeline/scale.ts';
import type { ClientView } from '../../../src/status/views.ts';
import { elementsOf } from './html.ts';
import { NOW } from './samples/common.ts';
import { HEALTHY_CLIENT } from './samples/healthy-client.ts';
import { TROUBLED_CLIENT } from './samples/troubled-client.ts';

const YEARS = 5 * 365 * 86_400_000;
const time = integer({ min: NOW - YEARS, max: NOW + YEARS });
const times = uniqueArray(time, { minLength: 2, maxLength: 30 });

it('a later time never lies before an earlier one, and none outside of the picture', () => {
  const isInOrder = (given: readonly number[], at: (ms: number) => number) => {
    const places = given.toSorted((a, b) => a - b).map(at);
    return places.every((place, index) => place >= 0 && place <= 100 && place >= (places[index - 1] ?? 0));
  };
  assert(
    property(times, times, (given, others) => {
      const stepped = steppedScale(given);
      const even = evenScale(Math.min(...given), Math.max(...given));
      return isInOrder([...given, ...others], stepped.at) && isInOrder([...given, ...others], even.at);
    }),
  );
});

it('each step of a rotation has room, however short it was beside the others', () => {
  assert(
    property(uniqueArray(time, { minLength: 3, maxLength: 10, selector: (ms) => Math.floor(ms / 1_000) }), (given) => {
      const { gaps, at } = steppedScale(given);
      return gaps.every(({ from, until }) => at(until) - at(from) > 2);
    }),
    // 142 ms between years.
    {
      examples: [
        [
          [
            1_953_429_124_000, 1_953_429_123_858, 1_646_219_215_042, 1_804_954_428_195, 1_638_069_124_000,
            1_691_086_774_774, 1_741_260_749_473,
          ],
        ],
      ],
    },
  );
});

it('ticks are few, within the picture, and in order', () => {
  assert(
    property(time, integer({ min: 1, max: YEARS }), (from, length) => {
      const ticks = ticksOf({ from, until: from + length }).map(({ at }) => at);
      return (
        ticks.length <= 8 &&
        ticks.every((at, index) => at >= from && at <= from + length && at > (ticks[index - 1] ?? 0))
      );
    }),
  );
});

it.each([
  [20_000, ['03:12:05', '03:12:10', '03:12:15', '03:12:20']],
  [3 * 3_600_000, ['03:30', '04:00', '04:30', '05:00', '05:30', '06:00']],
  [3 * 86_400_000, ['12:00', '28 Nov', '12:00', '29 Nov', '12:00', '30 Nov']],
  [120 * 86_400_000, ['Dec', '2027', 'Feb', 'Mar']],
  [4 * 365 * 86_400_000, ['2027', '2028', '2029', '2030']],
])('over %i ms the ticks are %j', (length, texts) => {
  expect(ticksOf({ from: NOW, until: NOW + length }).map(({ text }) => text)).toEqual(texts);
});

interface Picture {
  readonly label: string;
  /** Of each bar: what it says, and its width in percent. */
  readonly bars: readonly { readonly title: string; readonly width: number }[];
}

function picturesOf(view: ClientView): readonly Picture[] {
  const all = elementsOf(`<!doctype html>${lifeline(view)}`);
  return all
    .filter(({ name, attributes }) => name === 'svg' && attributes.class === 'lifeline')
    .map(({ attributes, inside }) => ({
      label: attributes['aria-label'] ?? '',
      bars: inside
        .filter((child) => child.attributes.class === 'span')
        .map((child) => ({
          title: child.inside[0]?.text ?? '',
          width: Number.parseFloat(child.attributes.width ?? ''),
        })),
    }));
}

it('a rotation of eleven minutes within months is seen in a picture of its own', () => {
  const [steps, whole, ...more] = picturesOf(HEALTHY_CLIENT);
  expect(more).toEqual([]);
  expect(steps?.label).toMatch(
    /^The steps of rotation r_19f2, from 2026-11-18 03:12:04 UTC until 2026-11-18 03:23:08 UTC/,
  );
  expect(steps?.bars.map(({ title }) => title.replace(/^\S+ /, '').replace(/ from.*/, ''))).toEqual([
    'active',
    'deactivated',
    'pre-active',
    'active',
  ]);
  expect(steps?.bars.every(({ width }) => width > 10)).toBe(true);
  // In this one it is as thin as it was short, and is there.
  expect(whole?.bars).toHaveLength(11);
  expect(whole?.bars.every(({ width }) => width >= 0.4)).toBe(true);
});

it('a rotation that is far off takes no room from a short history', () => {
  const young = {
    ...HEALTHY_CLIENT.lifeline,
    from: NOW - 60_000,
    keys: TROUBLED_CLIENT.lifeline.keys.slice(2),
    marks: [],
  };
  const [whole] = picturesOf({ ...HEALTHY_CLIENT, rotations: [], lifeline: young });
  expect(whole?.bars[0]?.width).toBeGreaterThan(50);
  expect(String(lifeline({ ...HEALTHY_CLIENT, lifeline: young }))).toContain('the schedule rotates it');
});

it('a foreign key is called one, and its state has a word and a pattern', () => {
  const [first] = TROUBLED_CLIENT.lifeline.keys;
  if (first === undefined) throw new Error('the sample has keys');
  const spans = [{ state: 'published', from: NOW - 86_400_000, to: null }] as const;
  const foreign = { ...first, kid: null, ours: false, spans };
  const text = String(lifeline({ ...TROUBLED_CLIENT, lifeline: { ...TROUBLED_CLIENT.lifeline, keys: [foreign] } }));
  for (const word of ['>foreign key<', 'Foreign key without a known name: published from', 'url(#whole-published)'])
    expect(text).toContain(word);
  expect(text).toContain('id="whole-published"');
  expect(text).not.toMatch(/deactivated from|no name/);
});

it('says the same in words', () => {
  const text = String(lifeline(TROUBLED_CLIENT));
  for (const word of [
    'compromised',
    'pre-active',
    'Proof: accepted',
    'the old key is taken from the server',
    'as planned',
  ])
    expect(text).toContain(word);
  const none = { ...TROUBLED_CLIENT.lifeline, keys: [] };
  expect(String(lifeline({ ...TROUBLED_CLIENT, lifeline: none }))).toContain('No key of this client is known yet.');
});
