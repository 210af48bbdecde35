/** How results are written. What goes to stdout is caught for a moment: in a process of its own each case would take half a second. */
import { afterEach, expect, test, vi } from 'vitest';
import { beginJson, openTable, printElement, printJson, screenful } from '../../src/commands/output.ts';
import { keepForemost } from '../../src/status/foremost.ts';

let written = '';
function capture(): void {
  written = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
}
afterEach(() => void vi.restoreAllMocks());

test.each([[[]], [[{ a: 1 }]], [[{ a: [1, { b: 'x\ny' }] }, {}, 'text']]])(
  'a document that is written element by element is the same as a whole one: %j',
  (list) => {
    capture();
    beginJson({ counts: { due: 1 } }, 'clients');
    for (const element of list) printElement(element);
    printJson({ pauses: [], waves: [1] });
    expect(written).toBe(`${JSON.stringify({ counts: { due: 1 }, clients: list, pauses: [], waves: [1] }, null, 2)}\n`);
    capture();
    printJson({ next: 'document' });
    expect(JSON.parse(written)).toEqual({ next: 'document' });
  },
);

test('an error in the middle of a list becomes a member of the same document', () => {
  capture();
  beginJson({}, 'clients');
  printElement({ client: 'a' });
  printJson({ error: { code: 'api_failed' } });
  expect(JSON.parse(written)).toEqual({ clients: [{ client: 'a' }], error: { code: 'api_failed' } });
});

test('a table that comes in pages has its headings once, and any number of rows', () => {
  capture();
  const table = openTable(['A', 'B']);
  table([['1', 'x']]);
  table(Array.from({ length: 200_000 }, () => ['12345', 'y']));
  const lines = written.trimEnd().split('\n');
  expect(lines.slice(0, 3)).toEqual(['A  B', '1  x', '12345  y']);
  expect(lines).toHaveLength(200_002);
});

test('a list has room on the screen below its summary, and ends nowhere else', () => {
  expect(screenful({ isTTY: true, rows: 50 })).toBe(40);
  expect(screenful({ isTTY: true, rows: 5 })).toBe(10);
  expect(screenful({})).toBe(Number.POSITIVE_INFINITY);
});

test('the foremost of many are kept, in order, and no more than twice as many are held', () => {
  const numbers = keepForemost<number>(3, (a, b) => a - b);
  for (const number of [5, 9, 1, 8, 2, 7, 3, 6, 4]) numbers.offer(number);
  expect(numbers.list()).toEqual([1, 2, 3]);
  expect(numbers.offered).toBe(9);
  const none = keepForemost<number>(0, (a, b) => a - b);
  none.offer(1);
  expect([none.list(), none.offered]).toEqual([[], 1]);
});
