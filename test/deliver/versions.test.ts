/** What a delivery does on the disk, and in which order; and two deliveries to one client with their renames in each other's way. */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { replaceFolder } from '../../src/deliver/replace.ts';
import { Outdated } from '../../src/deliver/versions.ts';
import { targetIn } from './target.ts';

/** What happens at the renames to come, first to last; the others just take place. */
const atRename = vi.hoisted((): ((swap: () => void) => void)[] => []);

/** What was opened, by its number, and what was put on disk or swapped, in order. */
const disk = vi.hoisted(() => ({ opened: new Map<number, string>(), done: [] as string[] }));

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const openSync: typeof fs.openSync = (path, ...more) => {
    const file = fs.openSync(path, ...more);
    disk.opened.set(file, `${path}`);
    return file;
  };
  const fsyncSync: typeof fs.fsyncSync = (file) => {
    fs.fsyncSync(file);
    disk.done.push(`sync ${disk.opened.get(file)}`);
  };
  const renameSync: typeof fs.renameSync = (from, to) => {
    const swap = () => {
      fs.renameSync(from, to);
      disk.done.push(`swap ${to}`);
    };
    const happening = atRename.shift();
    if (happening === undefined) swap();
    else happening(swap);
  };
  return { ...fs, openSync, fsyncSync, renameSync };
});

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rekeyd-versions-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function deliver(set: string, epoch: number): void {
  replaceFolder(targetIn(folder), new Map([['set', new TextEncoder().encode(set)]]), epoch);
}

function expectInUse(set: string): void {
  expect(readFileSync(join(folder, '4711', 'set'), 'utf8')).toBe(set);
  const inUse = readlinkSync(join(folder, '4711', '..data'));
  expect(readdirSync(join(folder, '4711')).sort()).toEqual(['..data', inUse, 'set', 'signers'].sort());
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
  expect(() => deliver('earlier', 1)).toThrow(Outdated);
  expectInUse('later');
});

test('a set is swapped in when its files and their names are on disk, and is there when the swap is on disk too', () => {
  disk.done.length = 0;
  const files = new Map(['a', 'b'].map((name) => [name, new TextEncoder().encode(name)]));
  replaceFolder(targetIn(folder), files, 1);
  const client = join(folder, '4711');
  const version = join(client, readlinkSync(join(client, '..data')));
  const at = (what: string) => disk.done.indexOf(what);
  const swap = at(`swap ${join(client, '..data')}`);
  for (const needed of [join(version, 'a'), join(version, 'b'), version, client]) {
    expect(disk.done.slice(0, swap), needed).toContain(`sync ${needed}`);
  }
  expect(Math.max(at(`sync ${join(version, 'a')}`), at(`sync ${join(version, 'b')}`))).toBeLessThan(
    at(`sync ${version}`),
  );
  expect(disk.done.slice(swap)).toContain(`sync ${client}`);
});
