/** Reports of signers, and what else may stand where they are: applications write there, and nobody checks what. */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readReports } from '../../src/deliver/reports.ts';

const AT = '2026-11-26T20:00:00.000Z';
const GOOD = { kids: ['a', 'b'], signing: 'a', at: AT };
const READ = { kids: ['a', 'b'], signing: 'a', at: Date.parse(AT) };

let root: string;
let folder: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'rekeyd-reports-'));
  folder = join(root, 'signers');
  await mkdir(folder);
});

afterEach(() => rm(root, { recursive: true, force: true }));

const put = (name: string, report: unknown = GOOD) => writeFile(join(folder, name), JSON.stringify(report));

async function linkTo(text: string): Promise<void> {
  await writeFile(join(root, 'elsewhere'), text);
  await symlink(join(root, 'elsewhere'), join(folder, 'link-1.json'));
}

async function putSparse(bytes: number): Promise<void> {
  await put('huge-1.json');
  await truncate(join(folder, 'huge-1.json'), bytes);
}

test('what signers say is read, under the name of their file', async () => {
  await put('web-1-4711.json');
  await put('web-2-1.json', { ...GOOD, signing: null, extra: true });
  const found = [...(await readReports(folder))].sort((a, b) => a.name.localeCompare(b.name));
  expect(found).toEqual([
    { ...READ, name: 'web-1-4711' },
    { ...READ, name: 'web-2-1', signing: null },
  ]);
});

test('where no delivery has made the folder yet, nobody reports', async () => {
  expect(await readReports(join(root, 'none'))).toEqual([]);
});

describe('a good report is read beside', () => {
  test.each<[string, () => unknown]>([
    ['a FIFO that nobody writes to', () => execFileSync('mkfifo', [join(folder, 'fifo-1.json')])],
    ['a link to a report', () => linkTo(JSON.stringify(GOOD))],
    ['a link to itself', () => symlink('loop-1.json', join(folder, 'loop-1.json'))],
    ['a folder', () => mkdir(join(folder, 'folder-1.json'))],
    ['a file of 1 GiB', () => putSparse(2 ** 30)],
    ['a file of 4 KiB and a byte', () => writeFile(join(folder, 'long-1.json'), JSON.stringify(GOOD).padEnd(4_097))],
    ['no JSON', () => writeFile(join(folder, 'half-1.json'), '{"kids":["a"')],
    ['null', () => put('null-1.json', null)],
    ['kids that are none', () => put('kids-1.json', { ...GOOD, kids: ['a', 7] })],
    ['a kid that is too long', () => put('kid-1.json', { ...GOOD, kids: ['a'.repeat(257)] })],
    ['a signing key that is none', () => put('signing-1.json', { ...GOOD, signing: {} })],
    ['no time', () => put('timeless-1.json', { ...GOOD, at: undefined })],
    ['a time that is none', () => put('time-1.json', { ...GOOD, at: '2026-13-45T99:00:00Z' })],
    ['a time of another zone', () => put('zone-1.json', { ...GOOD, at: '2026-11-26T20:00:00+01:00' })],
    ['a name with a line end', () => put('a\nb.json')],
    ['a draft', () => put('.2f6c.json')],
  ])('%s', async (_, disturb) => {
    await put('web-1-1.json');
    await disturb();
    expect(await readReports(folder)).toEqual([{ ...READ, name: 'web-1-1' }]);
  });
});

test('a file of exactly 4 KiB is a report', async () => {
  await writeFile(join(folder, 'web-1.json'), JSON.stringify(GOOD).padEnd(4_096));
  expect(await readReports(folder)).toHaveLength(1);
});

test('of 10,000 files at most 64 are read', async () => {
  for (let index = 0; index < 10_000; index += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, more) => put(`host-${index + more}.json`)));
  }
  expect(await readReports(folder)).toHaveLength(64);
});

test('of too many files the newest are read', async () => {
  for (let index = 0; index < 100; index += 1) {
    await put(`old-${index}.json`);
    await utimes(join(folder, `old-${index}.json`), 1_000, 1_000);
  }
  await put('new-1.json');
  const found = await readReports(folder);
  expect(found).toHaveLength(64);
  expect(found[0]?.name).toBe('new-1');
});

test.each<[string, () => unknown]>([
  ['a link', () => rename(folder, `${folder}-away`).then(() => symlink(`${folder}-away`, folder))],
  ['a file', () => rm(folder, { recursive: true }).then(() => writeFile(folder, ''))],
])('%s in place of the folder is not one without reports', async (_, replace) => {
  await put('web-1.json');
  await replace();
  await expect(readReports(folder)).rejects.toThrow('is not a folder');
});
