/** A delivery whose neighbour, in another process, is faster at one moment. */
import fs, { mkdtempSync, readFileSync, rmSync, unlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { replaceFolder } from '../../src/deliver/replace.ts';
import { targetIn } from './target.ts';

const FILES = ['current.pem', 'next.jwk.json', 'meta.json'];

/** The neighbour removes a name between the listing of the folder and the look at that name. */
function removedAfterListing(path: string, work: () => void): number {
  const { readdirSync } = fs;
  let removed = 0;
  const racing = (folder: string, options?: { readonly withFileTypes?: boolean }) => {
    const names = Reflect.apply(readdirSync, fs, [folder, options]);
    if (options?.withFileTypes === true && removed === 0) {
      unlinkSync(path);
      removed += 1;
    }
    return names;
  };
  Object.assign(fs, { readdirSync: racing });
  syncBuiltinESMExports();
  try {
    work();
  } finally {
    Object.assign(fs, { readdirSync });
    syncBuiltinESMExports();
  }
  return removed;
}

test('a name that another process removes meanwhile is made again', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rekeyd-overtaken-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const deliver = (text: string, epoch: number) =>
    replaceFolder(targetIn(folder), new Map(FILES.map((name) => [name, new TextEncoder().encode(text)])), epoch);
  deliver('old', 1);
  const next = join(folder, '4711', 'next.jwk.json');
  expect(removedAfterListing(next, () => deliver('new', 2))).toBe(1);
  for (const name of FILES) expect(readFileSync(join(folder, '4711', name), 'utf8')).toBe('new');
});
