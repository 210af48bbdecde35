/** A delivery that dies at each of its calls to the file system: nothing that it would do afterwards is done. */
import fs, {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { replaceFolder } from '../../src/deliver/replace.ts';
import { targetIn } from './target.ts';

/** Calls that change something on the disk. */
const CHANGES = [
  'chmodSync',
  'fchmodSync',
  'fsyncSync',
  'linkSync',
  'mkdirSync',
  'openSync',
  'renameSync',
  'rmSync',
  'rmdirSync',
  'symlinkSync',
  'unlinkSync',
  'writeFileSync',
] as const;

type Texts = Readonly<Record<string, string>>;

const OLD: Texts = { 'current.pem': 'old', 'next.jwk.json': 'next', 'meta.json': '{"is":"old"}' };
const NEW: Texts = { 'current.pem': 'next', 'previous.jwk.json': 'old', 'meta.json': '{"is":"new"}' };

let folder: string;
let client: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rekeyd-crash-'));
  client = join(folder, '4711');
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function deliver(set: Texts, epoch: number): void {
  const files = Object.entries(set).map(([name, text]) => [name, new TextEncoder().encode(text)] as const);
  replaceFolder(targetIn(folder), new Map(files), epoch);
}

/** Runs `work` as a process that is killed at its n-th change. @returns whether it was */
function diesAt(n: number, work: () => void): boolean {
  const before = Object.fromEntries(CHANGES.map((name) => [name, fs[name]]));
  let count = 0;
  for (const name of CHANGES) {
    const call = fs[name] as (...args: readonly unknown[]) => unknown; // called with what it was called with
    const counted = (...args: readonly unknown[]) => {
      count += 1;
      if (count >= n) throw new Error('killed');
      return call(...args);
    };
    Object.assign(fs, { [name]: counted });
  }
  syncBuiltinESMExports();
  try {
    work();
    return false;
  } catch (error) {
    if (!(error instanceof Error) || error.message !== 'killed') throw error;
    return true;
  } finally {
    Object.assign(fs, before);
    syncBuiltinESMExports();
  }
}

/** The set that readers find, by the names that they open; it must be whole. */
function setInPlace(): Texts {
  const set = { ...JSON.parse(readFileSync(join(client, 'meta.json'), 'utf8')) }.is === 'old' ? OLD : NEW;
  for (const [name, text] of Object.entries(set)) expect(readFileSync(join(client, name), 'utf8'), name).toBe(text);
  return set;
}

function expectNothingLeft(): void {
  const version = readlinkSync(join(client, '..data'));
  expect(readdirSync(folder)).toEqual(['4711']);
  expect(readdirSync(client).sort()).toEqual(['..data', version, ...Object.keys(NEW), 'signers'].sort());
  expect(readdirSync(join(client, version)).sort()).toEqual(Object.keys(NEW).sort());
}

/** As version 0.1 laid it out. */
function layOutAsBefore(set: Texts): string {
  const version = join(folder, '.4711', '1-00aa11bb');
  mkdirSync(version, { recursive: true });
  for (const [name, text] of Object.entries(set)) writeFileSync(join(version, name), text);
  symlinkSync('.4711/1-00aa11bb', client);
  return version;
}

/** Every n at which the delivery does not come to its end. */
function* deaths(prepare: () => void, work: () => void): Generator<number> {
  for (let n = 1; ; n += 1) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    prepare();
    if (!diesAt(n, work)) return;
    yield n;
  }
}

describe('a delivery that dies leaves the old set or the new one whole, and the next one cleans up', () => {
  test('over a set that is there', () => {
    const seen = new Set<unknown>();
    let count = 0;
    for (const _ of deaths(
      () => deliver(OLD, 1),
      () => deliver(NEW, 2),
    )) {
      seen.add(setInPlace());
      deliver(NEW, 3);
      expect(setInPlace()).toBe(NEW);
      expectNothingLeft();
      count += 1;
    }
    expect(count).toBeGreaterThan(10);
    expect(seen).toEqual(new Set([OLD, NEW]));
  });

  test('where none was there', () => {
    for (const _ of deaths(
      () => {},
      () => deliver(NEW, 2),
    )) {
      if (existsSync(join(client, '..data'))) expect(setInPlace()).toBe(NEW);
      deliver(NEW, 3);
      expect(setInPlace()).toBe(NEW);
      expectNothingLeft();
    }
  });

  test('over a folder of version 0.1, but for the moment between two calls in which its path is missing', () => {
    let version = '';
    let missing = 0;
    for (const _ of deaths(
      () => {
        version = layOutAsBefore(OLD);
      },
      () => deliver(NEW, 2),
    )) {
      // Whoever opened it may go on reading.
      expect(readFileSync(join(version, 'current.pem'), 'utf8')).toBe('old');
      if (fs.lstatSync(client, { throwIfNoEntry: false }) === undefined) missing += 1;
      else setInPlace();
      deliver(NEW, 3);
      expect(setInPlace()).toBe(NEW);
      deliver(NEW, 4);
      expectNothingLeft();
    }
    expect(missing).toBe(1);
  });
});

describe('a folder of version 0.1', () => {
  test('becomes one that stays, and its old version stays until the next delivery', () => {
    const version = layOutAsBefore(OLD);
    deliver(NEW, 2);
    expect(setInPlace()).toBe(NEW);
    expect(fs.lstatSync(client).isDirectory()).toBe(true);
    expect(readFileSync(join(version, 'current.pem'), 'utf8')).toBe('old');
    const before = fs.lstatSync(client).ino;
    deliver(OLD, 3);
    expect(setInPlace()).toBe(OLD);
    expect(existsSync(version)).toBe(false);
    expect(fs.lstatSync(client).ino).toBe(before);
  });

  test('that was delivered under a later claim is left as it is', () => {
    layOutAsBefore(OLD);
    expect(() => deliver(NEW, 0)).toThrow('a newer set stands there');
    expect(setInPlace()).toBe(OLD);
    expect(readlinkSync(client)).toBe('.4711/1-00aa11bb');
  });
});
