/** Files are read to their end, and no further than is allowed. */
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readAtMost } from '../../src/files/bounded.ts';

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
