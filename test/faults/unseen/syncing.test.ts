/** What is swapped in was on disk before: the calls to the file system, in their order, since a power cut cannot be had here. */
import fs, { mkdtempSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { replaceFolder } from '../../../src/deliver/replace.ts';
import { targetIn } from '../../deliver/target.ts';

const CLIENT = '4711';

/** `write current.pem`, `sync current.pem`, `swap ..data`, … in the order in which they were done; a version's folder is called `version`. */
function deliveryOf(folder: string): readonly string[] {
  const done: string[] = [];
  const names = new Map<number, string>();
  const { openSync, writeFileSync, fsyncSync, renameSync } = fs;
  const nameOf = (path: string) => (/^\.\.\d+-/.test(basename(path)) ? 'version' : basename(path));
  fs.openSync = (path, ...rest) => {
    const file = openSync(path, ...rest);
    names.set(file, nameOf(`${path}`));
    return file;
  };
  fs.writeFileSync = (file, ...rest) => {
    if (typeof file === 'number') done.push(`write ${names.get(file)}`);
    writeFileSync(file, ...rest);
  };
  fs.fsyncSync = (file) => {
    fsyncSync(file);
    done.push(`sync ${names.get(file)}`);
  };
  fs.renameSync = (from, to) => {
    renameSync(from, to);
    done.push(`swap ${basename(`${to}`)}`);
  };
  syncBuiltinESMExports();
  try {
    replaceFolder(targetIn(folder), new Map(FILES.map((name) => [name, bytesOf(name)])), 1);
  } finally {
    Object.assign(fs, { openSync, writeFileSync, fsyncSync, renameSync });
    syncBuiltinESMExports();
  }
  return done;
}

const FILES = ['current.pem', 'meta.json'];

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text));
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rekeyd-syncing-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('key files are on disk before they are swapped in', () => {
  const done = deliveryOf(temporaryFolder());
  const swap = done.indexOf('swap ..data');
  expect(swap).toBeGreaterThan(0);
  for (const name of FILES) {
    const synced = done.indexOf(`sync ${name}`);
    expect(done.indexOf(`write ${name}`)).toBeGreaterThanOrEqual(0);
    expect(synced, done.join(', ')).toBeGreaterThan(done.indexOf(`write ${name}`));
    expect(synced).toBeLessThan(swap);
  }
});

test('the names of key files are on disk before and after they are swapped in', () => {
  const done = deliveryOf(temporaryFolder());
  const swap = done.indexOf('swap ..data');
  expect(swap).toBeGreaterThan(0);
  const before = done.slice(0, swap);
  for (const name of ['version', CLIENT]) {
    expect(before.lastIndexOf(`sync ${name}`), done.join(', ')).toBeGreaterThan(before.lastIndexOf('write meta.json'));
  }
  expect(done.slice(swap)).toContain(`sync ${CLIENT}`);
});
