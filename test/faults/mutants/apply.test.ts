/** The sources change, and a mutant that no longer fits them would catch nobody's eye until the next run of the mutants. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CIRCUMSTANCES } from '../circumstances.ts';
import { mutants } from '../mutants.ts';
import { applyPatch, parsePatch } from './patch.ts';

const ROOT = join(import.meta.dirname, '../../..');

describe('every mutant', () => {
  test.each(mutants())('$name applies to the sources as they are', ({ patch, when }) => {
    const changed = applyPatch(patch, (file) => readFileSync(join(ROOT, file), 'utf8'));
    expect([...changed.keys()].filter((file) => !/^(?:src|jobs)\//.test(file))).toEqual([]);
    expect(changed.size).toBeGreaterThan(0);
    for (const [file, text] of changed) expect(text).not.toBe(readFileSync(join(ROOT, file), 'utf8'));
    expect([...CIRCUMSTANCES.keys()]).toContain(when);
  });
});

const PATCH = parsePatch('When: calm\n\n--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n');

test('a patch changes the lines that it names, wherever they stand', () => {
  expect(PATCH.header).toEqual({ When: 'calm' });
  expect(applyPatch(PATCH, () => 'zero\none\ntwo\nthree\n').get('f')).toBe('zero\none\n2\nthree\n');
});

test.each(['zero\n', 'one\nTWO\n', 'one\ntwo\none\ntwo\n'])(
  'a patch that does not fit %j, or not once, is refused',
  (text) => {
    expect(() => applyPatch(PATCH, () => text)).toThrow('f has these lines');
  },
);
