import type { KeyObject } from 'node:crypto';
import { expect } from 'vitest';
import { needlesOf, searchFor } from './secrets.ts';

/**
 * Fails when a text shows the private half of a key, in whatever form. Each form is planted in the same text first: a hunt that does not find it there
 * would prove nothing.
 */
export function expectNothingOf(key: KeyObject, text: string): void {
  const needles = needlesOf('key', key);
  const search = searchFor(needles);
  const planted = needles.filter(({ name, bytes }) => search(Buffer.concat([Buffer.from(text), bytes])).has(name));
  expect(planted, 'found where it was planted').toEqual(needles);
  expect([...search(Buffer.from(text))]).toEqual([]);
}
