/** A change of the sources that takes a mutant its place is noticed here, and not only in the next run of the mutants. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MUTANTS } from './all.ts';
import { CIRCUMSTANCES } from './circumstances.ts';
import { applyEdits } from './syntax.ts';

const ROOT = join(import.meta.dirname, '../../..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

describe('every mutant', () => {
  test.each(MUTANTS)('$name finds its place in the sources as they are', ({ edits, caught }) => {
    const changed = applyEdits(edits, read);
    expect([...changed.keys()].filter((file) => !/^(?:src|jobs)\//.test(file))).toEqual([]);
    expect(changed.size).toBeGreaterThan(0);
    for (const [file, text] of changed) expect(text).not.toBe(read(file));
    if ('in' in caught) expect([...CIRCUMSTANCES.keys()]).toContain(caught.in);
    else expect(read(caught.by)).toContain(`'${caught.named}'`);
  });

  test('has a name of its own', () => {
    const names = MUTANTS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});
