import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ClientRef, parseReference } from '../../src/core/client.ts';
import { publishFolder } from '../../src/publish/folder.ts';

const ref = parseReference('185019846023/mcp-auth/4711');
const key = { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'k1' };
let parent: string;
let path: string;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'rekeyd-publish-'));
  path = join(parent, 'public');
});

afterEach(() => rm(parent, { recursive: true, force: true }));

test('a set is found on disk where its URL says', async () => {
  const folder = publishFolder({ path, baseUrl: 'https://keys.example.com/oauth/' });
  expect(folder.urlFor(ref)).toBe('https://keys.example.com/oauth/185019846023/mcp-auth/4711');
  await folder.write(ref, { keys: [key] });
  expect(JSON.parse(await readFile(join(path, ref), 'utf8'))).toEqual({ keys: [key] });
  await folder.write(ref, { keys: [] });
  expect(JSON.parse(await readFile(join(path, ref), 'utf8'))).toEqual({ keys: [] });
  expect(await readdir(join(path, ref, '..'))).toEqual(['4711']);
});

test('a web server may read it, whatever the umask', async () => {
  const before = process.umask(0o077);
  try {
    await publishFolder({ path, baseUrl: 'https://x' }).write(ref, { keys: [key] });
  } finally {
    process.umask(before);
  }
  const mode = async (part: string) => (await stat(join(path, part))).mode & 0o7777;
  expect(await mode(ref)).toBe(0o644);
  expect(await Promise.all(['', '185019846023', '185019846023/mcp-auth'].map(mode))).toEqual([0o755, 0o755, 0o755]);
});

test('no id leaves the folder, and its URL still decodes to its file', async () => {
  const nasty = '../a b/.' as ClientRef; // parseReference would refuse it; the folder does not rely on that
  const folder = publishFolder({ path, baseUrl: 'https://x/k' });
  await folder.write(nasty, { keys: [key] });
  const url = new URL(folder.urlFor(nasty));
  const file = join(path, decodeURIComponent(url.pathname.slice('/k/'.length)));
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ keys: [key] });
  expect(await readdir(parent)).toEqual(['public']);
});

test('readers see a whole set while it is replaced', async () => {
  const folder = publishFolder({ path, baseUrl: 'https://x' });
  const sets = [{ keys: [key] }, { keys: Array.from({ length: 200 }, () => key) }] as const;
  await folder.write(ref, sets[0]);
  let writing = true;
  const seen = new Set<number>();
  const reader = (async () => {
    while (writing) seen.add(JSON.parse(await readFile(join(path, ref), 'utf8')).keys.length);
  })();
  for (let round = 0; round < 20; round++) for (const set of sets) await folder.write(ref, set);
  writing = false;
  await reader;
  expect([...seen].sort()).toEqual([1, 200]);
});

test('its keys can be asked for; what is no set says nothing', async () => {
  const folder = publishFolder({ path, baseUrl: 'https://x' });
  const asked = async () => (await folder.sets('185019846023/mcp-auth'))(ref);
  expect(await asked()).toBeNull();
  await folder.write(ref, { keys: [key] });
  expect(await asked()).toEqual([key]);
  for (const text of ['', '{', 'null', '{"keys":{}}', '{"keys":[null]}']) {
    await writeFile(join(path, ref), text);
    expect(await asked()).toBeNull();
  }
  await rm(join(path, ref, '..'), { recursive: true });
  await writeFile(join(path, ref, '..'), '');
  await expect(asked()).rejects.toMatchObject({ code: 'publish_failed' });
});

test.each([
  ['a file stands where the folder should be', () => writeFile(path, '')],
  ['a folder stands where the file should be', () => mkdir(join(path, ref, 'x'), { recursive: true })],
])('%s: the error names the place, and nothing is left behind', async (_what, prepare) => {
  await prepare();
  const before = await readdir(parent, { recursive: true });
  await expect(publishFolder({ path, baseUrl: 'https://x' }).write(ref, { keys: [key] })).rejects.toMatchObject({
    code: 'publish_failed',
    message: expect.stringContaining(join(path, ref)),
  });
  expect(await readdir(parent, { recursive: true })).toEqual(before);
});

test('a folder that is closed meanwhile: the error is one of ours', async () => {
  const folder = publishFolder({ path, baseUrl: 'https://x' });
  const writing = folder.write(ref, { keys: [key] });
  folder.close();
  await expect(Promise.all([writing, folder.write(ref, { keys: [key] })])).rejects.toMatchObject({
    code: 'publish_failed',
  });
});
