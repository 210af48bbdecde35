/** What a person is told when `data_dir` cannot be used. Missing rights and files in the way are in test/cli. */
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { inDataDir } from '../../src/files/data-dir.ts';

test('a full disk is named with the folder that needs space', async () => {
  const writing = inDataDir('/var/lib/rekeyd', () => writeFile('/dev/full', 'x'));
  await expect(writing).rejects.toMatchObject({
    code: 'ENOSPC',
    message: expect.stringMatching(
      /^data_dir \/var\/lib\/rekeyd cannot be written: its disk is full\. Free some space/,
    ),
  });
});
