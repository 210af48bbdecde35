import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { whyTooOld } from '../../src/runtime/node-version.ts';
import { importsOf, scan } from '../layers/scan.ts';

test.each([
  ['18.20.4', false],
  ['22.18.0', false],
  ['22.19.0', true],
  ['23.0.0', true],
  ['24.1.0', true],
])('Node.js %s is new enough: %s', (version, isEnough) => {
  const why = whyTooOld(version, '>=22.19.0');
  expect(why === null).toBe(isEnough);
  if (why !== null)
    expect(why).toBe(`rekeyd needs Node.js 22.19 or newer; this is ${version.split('.').slice(0, 2).join('.')}.`);
});

test('what is imported before the version is looked at imports no package', async () => {
  const seen = new Set<string>();
  async function follow(url: URL): Promise<void> {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    const text = await readFile(url, 'utf8');
    // An import that waits for its line is one that comes later.
    for (const specifier of importsOf(scan(text.replaceAll(/await import\([^)]*\)/g, '')))) {
      expect(specifier, url.href).toMatch(/^(node:|\.)/);
      if (specifier?.startsWith('.')) await follow(new URL(specifier, url));
    }
  }
  await follow(new URL('../../src/cli.ts', import.meta.url));
  expect(seen.size).toBeGreaterThan(3);
});
