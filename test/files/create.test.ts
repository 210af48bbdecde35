/** A file that is made once, also when the process that made it was killed. */
import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createFile } from '../../src/files/create.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rekeyd-create-'));
  path = join(folder, 'key.pem');
});
afterEach(() => rm(folder, { recursive: true }));

const KEY = Buffer.from('a private key');

async function leave(text: string, mode: number): Promise<void> {
  await writeFile(path, text);
  await chmod(path, mode);
}

test('a new file is private whatever the umask', async () => {
  expect(await createFile(path, KEY, 0o600)).toBe(true);
  expect(await readFile(path)).toEqual(KEY);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

describe('what a run that was killed left', () => {
  test('is taken when it is whole', async () => {
    await createFile(path, KEY, 0o600);
    const { ino } = await stat(path);
    expect(await createFile(path, KEY, 0o600)).toBe(false);
    expect((await stat(path)).ino).toBe(ino);
  });

  test('is written when it is empty', async () => {
    await leave('', 0o600);
    expect(await createFile(path, KEY, 0o600)).toBe(true);
    expect(await readFile(path)).toEqual(KEY);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });
});

describe('what somebody else put there is not touched:', () => {
  test.each<[string, () => Promise<unknown>]>([
    ['another text', () => leave('another key', 0o600)],
    ['another text of the same length', () => leave('A PRIVATE KEY', 0o600)],
    ['the same that others can read', () => leave(KEY.toString(), 0o644)],
    ['an empty file that others can read', () => leave('', 0o644)],
  ])('%s', async (_, put) => {
    await put();
    const before = await readFile(path);
    await expect(createFile(path, KEY, 0o600)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await readFile(path)).toEqual(before);
  });

  test('a link, also to the same', async () => {
    const there = join(folder, 'there.pem');
    await createFile(there, KEY, 0o600);
    await symlink(there, path);
    await expect(createFile(path, KEY, 0o600)).rejects.toMatchObject({ code: 'EEXIST' });
  });

  test('a pipe, which nobody writes to', async () => {
    execFileSync('mkfifo', ['-m', '600', path]);
    await expect(createFile(path, KEY, 0o600)).rejects.toMatchObject({ code: 'EEXIST' });
  });
});
