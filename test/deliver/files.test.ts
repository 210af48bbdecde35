import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { writeDurably } from '../../src/deliver/files.ts';

const root = await mkdtemp(join(tmpdir(), 'rekeyd-files-'));
afterAll(() => rm(root, { recursive: true }));

/** Whether `text` is in the memory that small buffers share, after `write` has written it. */
async function staysInPool(text: string, write: () => void | Promise<void>): Promise<boolean> {
  const pool = () => Buffer.from(Buffer.allocUnsafe(1).buffer);
  const before = pool();
  await write();
  return [before, pool()].some((bytes) => bytes.includes(text));
}

test('a text that is written does not stay in the memory that buffers share', async () => {
  const text = randomBytes(40).toString('hex');
  const other = randomBytes(40).toString('hex');
  expect(await staysInPool(text, () => writeDurably(join(root, 'a'), text))).toBe(false);
  expect(await staysInPool(other, () => writeFile(join(root, 'b'), other)), 'as Node does it').toBe(true);
  expect(await readFile(join(root, 'a'), 'utf8')).toBe(text);
});

test('a text is written whole, whatever its characters', async () => {
  writeDurably(join(root, 'c'), 'é\u{1F511}');
  expect(await readFile(join(root, 'c'), 'utf8')).toBe('é\u{1F511}');
});
