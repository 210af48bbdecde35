/** Files are read to their end, and no further than is allowed. Pipes are waited for with a bound. */
import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { readAtMost, readNamed } from '../../src/files/bounded.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rekeyd-bounded-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(path: string, most: number): Promise<Buffer | null> {
  const file = await open(path);
  try {
    return await readAtMost(file, most);
  } finally {
    await file.close();
  }
}

test.each([0, 1, 64 * 1024, 200_000])(
  'a file of %i bytes is read whole, and not when it may be one byte shorter',
  async (size) => {
    const path = join(folder, `${size}`);
    const bytes = Buffer.from(Array.from({ length: size }, (_, at) => at % 251));
    await writeFile(path, bytes);
    expect(await read(path, size)).toEqual(bytes);
    if (size > 0) expect(await read(path, size - 1)).toBeNull();
  },
);

test('a device without end is left', async () => {
  expect(await read('/dev/zero', 100_000)).toBeNull();
});

test('a file that does not tell its size is read', async () => {
  expect(`${await read('/proc/self/stat', 100_000)}`).toContain('(');
});

function pipe(name: string): string {
  const path = join(folder, name);
  execFileSync('mkfifo', [path]);
  return path;
}

/** As a program that has the pipe open for writing. It does not wait for a reader. */
async function writerOf(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
  onTestFinished(() => file.close());
  return file;
}

test('a pipe is read to its end, also where its writer comes later and writes slowly', async () => {
  const path = pipe('slow');
  const reading = readNamed(path, 1_000_000);
  const bytes = Buffer.alloc(200_000, 'a');
  await writeFile(path, bytes);
  expect(await reading).toEqual(bytes);
});

test('a pipe without a writer, and one that its writer never closes, are waited for with a bound', async () => {
  const patience = { writing: 50, absent: 50 };
  const without = readNamed(pipe('without'), 100, patience);
  await expect(without).rejects.toMatchObject({
    code: 'ETIMEDOUT',
    message: expect.stringContaining('no program has written to it'),
  });
  const path = pipe('open');
  const writer = await writerOf(path);
  const never = expect.stringContaining('had no end within 0.05 s');
  await expect(readNamed(path, 100, patience)).rejects.toMatchObject({ code: 'ETIMEDOUT', message: never });
  await writer.write('half');
  await expect(readNamed(path, 100, patience)).rejects.toMatchObject({ code: 'ETIMEDOUT', message: never });
});

test('a pipe with too much in it is left', async () => {
  const path = pipe('long');
  const writer = await writerOf(path);
  await writer.write('a'.repeat(101));
  expect(await readNamed(path, 100)).toBeNull();
});
