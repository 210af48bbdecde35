/** What a person is told when `data_dir` cannot be used. Missing rights and files in the way are in test/cli. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { inDataDir } from '../../src/files/data-dir.ts';

test.each([
  ['in it', 'root/data', 'root/data/file/seen', 'config'],
  ['on its path', 'root/data/file/data', 'root/data/file/data/seen', 'config'],
  ['in a folder beside it that has a longer name', 'root/data', 'root/data-2/file/seen', 'ENOTDIR'],
])('a file where a folder is needed, %s: %s, %s is %s', async (_, dataDir, asked, code) => {
  const home = await mkdtemp(join(tmpdir(), 'rekeyd-data-dir-'));
  onTestFinished(() => rm(home, { recursive: true }));
  for (const folder of ['root/data', 'root/data-2']) {
    await mkdir(join(home, folder), { recursive: true });
    await writeFile(join(home, folder, 'file'), '');
  }
  const work = inDataDir(join(home, dataDir), () => readFile(join(home, asked)));
  await expect(work).rejects.toMatchObject({ code });
});

test('a full disk is named with the folder that needs space', async () => {
  const writing = inDataDir('/var/lib/rekeyd', () => writeFile('/dev/full', 'x'));
  await expect(writing).rejects.toMatchObject({
    code: 'ENOSPC',
    message: expect.stringMatching(
      /^data_dir \/var\/lib\/rekeyd cannot be written: its disk is full\. Free some space/,
    ),
  });
});
