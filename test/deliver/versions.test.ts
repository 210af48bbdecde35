/** Two deliveries to one client, with the moments of their renames in each other's way. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { OUTDATED, replaceFolder } from '../../src/deliver/versions.ts';

/** What happens at the renames to come, first to last; the others just take place. */
const atRename = vi.hoisted((): ((swap: () => void) => void)[] => []);

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const renameSync: typeof fs.renameSync = (from, to) => {
    const swap = () => fs.renameSync(from, to);
    const happening = atRename.shift();
    if (happening === undefined) swap();
    else happening(swap);
  };
  return { ...fs, renameSync };
});

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rekeyd-versions-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function deliver(set: string, epoch: number): void {
  replaceFolder(folder, '4711', new Map([['set', new TextEncoder().encode(set)]]), epoch);
}

function expectInUse(set: string): void {
  expect(readFileSync(join(folder, '4711', 'set'), 'utf8')).toBe(set);
  expect(readdirSync(join(folder, '.4711'))).toHaveLength(1);
}

test('an earlier epoch that swaps just after a later one, which has not cleaned up yet, is replaced again', () => {
  atRename.push((swapEarlier) => {
    atRename.push((swapLater) => {
      swapLater();
      swapEarlier();
      expect(readFileSync(join(folder, '4711', 'set'), 'utf8')).toBe('earlier');
    });
    deliver('later', 2);
    expectInUse('later');
  });
  deliver('earlier', 1);
  expectInUse('later');
});

test('an earlier epoch that is about to swap when a later one delivers finds out', () => {
  atRename.push((swapEarlier) => {
    deliver('later', 2);
    swapEarlier();
  });
  expect(() => deliver('earlier', 1)).toThrow(expect.objectContaining({ code: OUTDATED }));
  expectInUse('later');
});
