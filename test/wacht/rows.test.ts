import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { takeRows } from '../../src/wacht/rows.ts';

/** What JSON.parse makes of the list, and what is left of the rest; null where it takes neither. */
function whole(text: string): { rows: unknown; rest: unknown } | null {
  try {
    const body = JSON.parse(text);
    const holder = body.data ?? body;
    const rows = holder.rows;
    holder.rows = [];
    return { rows, rest: body };
  } catch {
    return null;
  }
}

/** The same in pieces, cut at these places. */
function piecewise(bytes: Uint8Array, cuts: readonly number[]): { rows: unknown; rest: unknown } | null {
  const rows: unknown[] = [];
  const taker = takeRows('rows', (some) => rows.push(...some));
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b);
  try {
    const rest = places.map((place, index) =>
      Buffer.from(taker.take(bytes.subarray(place, places[index + 1] ?? place))),
    );
    const body = JSON.parse(Buffer.concat(rest).toString());
    const { rows: left } = body.data ?? body;
    // Taken from where they belong: as whoever reads the rest sees to.
    return taker.isComplete && Array.isArray(left) && left.length === 0 ? { rows, rest: body } : null;
  } catch {
    return null;
  }
}

const anything = fc.jsonValue();
const bodies = fc
  .record({ rows: fc.array(anything, { maxLength: 6 }), before: anything, after: anything, wrap: fc.boolean() })
  .map(({ rows, before, after, wrap }) => (wrap ? { data: { before, rows, after }, after } : { before, rows, after }));
const texts = fc
  .tuple(bodies, fc.constantFrom(0, 1, '\t', ' \n'))
  .map(([body, indent]) => JSON.stringify(body, null, indent));
const cutting = fc.array(fc.nat(), { maxLength: 8 });

test('whatever the pieces, the rows and the rest are those of the whole text', () => {
  fc.assert(
    fc.property(texts, cutting, (text, cuts) => {
      expect(piecewise(Buffer.from(text), cuts)).toEqual(whole(text));
    }),
    { numRuns: 2_000 },
  );
});

test('a text with one byte too many, too few or another is never read as something else', () => {
  const damage = fc.tuple(fc.nat(), fc.nat(2), fc.constantFrom(...'[]{},:"\\ 0a'));
  fc.assert(
    fc.property(texts, damage, cutting, (text, [place, gone, more], cuts) => {
      const at = place % text.length;
      const damaged = text.slice(0, at) + more + text.slice(at + gone);
      const read = piecewise(Buffer.from(damaged), cuts);
      if (read !== null) expect(read).toEqual(whole(damaged));
    }),
    { numRuns: 5_000 },
  );
});

describe('what is no list of rows', () => {
  test.each([
    ['nothing', ''],
    ['no list of that name', '{"other":[{}]}'],
    ['a list that does not end', '{"rows":[{},{}'],
    ['a comma too many', '{"rows":[{},]}'],
    ['a comma before the first', '{"rows":[,{}]}'],
    ['only a comma', '{"rows":[,]}'],
    ['no comma', '{"rows":[{} {}]}'],
    ['the wrong bracket', '{"rows":[{}}'],
    ['a name inside a text', '{"a":"\\"rows\\":[1]"}'],
  ])('%s', (_, text) => {
    for (const cuts of [[], [...text].map((_, index) => index)]) expect(piecewise(Buffer.from(text), cuts)).toBeNull();
  });

  test('bytes that are not UTF-8', () => {
    const text = Buffer.from('{"rows":["?"]}');
    text[10] = 0xff;
    expect(piecewise(text, [])).toBeNull();
  });

  test('the error shows nothing of what was sent', () => {
    const taker = takeRows('rows', () => {});
    expect(() => taker.take(Buffer.from('{"rows":[secret]}'))).toThrow(/^the answer is not JSON$/);
  });
});

test('rows are handed on before the list has ended', () => {
  const seen: unknown[] = [];
  const taker = takeRows('rows', (rows) => seen.push(...rows));
  taker.take(Buffer.from('{"rows":[1,2,'));
  expect(seen).toEqual([1, 2]);
  taker.take(Buffer.from('3'));
  taker.take(Buffer.from(',4]'));
  expect(seen).toEqual([1, 2, 3, 4]);
  expect(taker.isComplete).toBe(true);
});
