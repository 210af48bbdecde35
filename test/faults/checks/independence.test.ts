/** The checker loads no code of rekeyd: it must not believe what it judges. Importing a type loads nothing. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { importsOf, scan } from '../../layers/scan.ts';

const ROOT = join(import.meta.dirname, '../../..');
const JUDGE = ['test/faults/checks/checker.ts', 'test/faults/evidence/evidence.ts', 'test/faults/evidence/history.ts'];

const TYPES_ONLY = /^import type [^;]*;$/gm;

/** Every file that is loaded along with `files`, and what it was loaded by. */
function loadedWith(files: readonly string[], read: (file: string) => string): ReadonlyMap<string, string> {
  const loaded = new Map(files.map((file) => [file, 'this test']));
  for (const [file] of loaded) {
    for (const specifier of importsOf(scan(read(file).replace(TYPES_ONLY, '')))) {
      if (specifier === null) throw new Error(`${file} imports what only run time knows`);
      const target = join(file, '..', specifier);
      if (specifier.startsWith('.') && !loaded.has(target)) loaded.set(target, file);
    }
  }
  return loaded;
}

const ofRekeyd = (loaded: ReadonlyMap<string, string>) =>
  [...loaded].filter(([file]) => /^(?:src|jobs)\//.test(file)).map(([file, by]) => `${by} loads ${file}`);

test('the checker shares no code with what it judges', () => {
  const checks = globSync('test/faults/checks/*.ts', { cwd: ROOT }).filter((file) => !file.endsWith('.test.ts'));
  const loaded = loadedWith([...JUDGE, ...checks], (file) => readFileSync(join(ROOT, file), 'utf8'));
  expect([...loaded.keys()]).toContain('test/faults/checks/publication.ts');
  expect(ofRekeyd(loaded)).toEqual([]);
});

test('shared code is found, however far away', () => {
  const files: Readonly<Record<string, string>> = {
    'test/faults/checker.ts': `import type { A } from '../../src/types.ts';\nimport { a } from './a.ts';`,
    'test/faults/a.ts': `import { type B, b } from '../../src/core/plan.ts';`,
    'src/core/plan.ts': '',
  };
  const loaded = loadedWith(['test/faults/checker.ts'], (file) => files[file] ?? '');
  expect(ofRekeyd(loaded)).toEqual(['test/faults/a.ts loads src/core/plan.ts']);
});
