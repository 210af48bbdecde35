import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { withTable } from './table.ts';

test('the sizing table is what the measured numbers make of it: else run `node test/sizing/main.ts`', async () => {
  const document = await readFile(new URL('../../docs/sizing.md', import.meta.url), 'utf8');
  expect(withTable(document)).toBe(document);
});

test('a document without a place for the table is refused', () => {
  expect(() => withTable('# Sizing')).toThrow('has no');
});
