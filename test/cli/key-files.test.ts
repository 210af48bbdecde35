/** Folders and maps of key files, and files that are none. */
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isOpenToOthers, readKeyFile, readPassphrase } from '../../src/commands/keys/files.ts';
import { filesOfFolder } from '../../src/commands/keys/folder.ts';
import { filesOfMap } from '../../src/commands/keys/map.ts';
import { matchFiles } from '../../src/commands/keys/match.ts';
import { makeReference, parseReference } from '../../src/core/client.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rekeyd-key-files-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function put(path: string, text = ''): Promise<string> {
  const place = join(dir, path);
  await mkdir(dirname(place), { recursive: true });
  await writeFile(place, text);
  return place;
}

/** Two apps with clients whose ids say nothing of their OAuth `client_id`s. */
const CLIENTS = {
  candidates: [
    { ref: makeReference('1', 'app', '11'), clientId: 'oc_one' },
    { ref: makeReference('1', 'app', '12.5'), clientId: 'oc_two' },
    { ref: makeReference('2', 'web', '11'), clientId: 'oc_three' },
    { ref: makeReference('2', 'web', '99'), clientId: '12.5' },
  ],
  listed: new Map(),
  unreadable: new Map(),
  unread: [],
};
const PLACES = new Set(['1/app', '2/web']);

function owners(names: readonly string[]) {
  const { matched, unusable } = matchFiles([{ path: 'p', shown: 'f', names }], CLIENTS, PLACES);
  return matched[0]?.ref ?? unusable[0]?.reason;
}

describe('a file in a folder belongs to the client that it is named after:', () => {
  test.each([
    ['1/app/11.pem', '1/app/11'],
    ['1/app/11', '1/app/11'],
    ['1%2Fapp%2F11.jwk.json', '1/app/11'],
    ['1/app/oc_one.key', '1/app/11'],
    ['oc_one', '1/app/11'],
    ['oc_one.pem', '1/app/11'],
    ['oc_three.private.pem.txt', '2/web/11'],
    ['1/app/12.5.pem', '1/app/12.5'],
    ['99.pem', '2/web/99'],
    // An OAuth client_id comes before the id of a row.
    ['12.5.der', '2/web/99'],
    ['old/app/99.pem', '2/web/99'],
  ])('%s', async (path, ref) => {
    const root = join(dir, `named-${path.replaceAll('/', '_')}`);
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), '');
    const { files } = await filesOfFolder(root);
    expect(files.map(({ names }) => owners(names))).toEqual([parseReference(ref)]);
  });

  test.each([
    ['11.pem', /2 clients have this name \(1\/app\/11, 2\/web\/11\)/],
    ['1/app/13.pem', /no client/],
    ['old/app/13.pem', /has no app old\/app/],
    ['%E0%A4%A.pem', /no client/],
  ])('%s names none', async (name, says) => {
    expect(owners([name.replace('.pem', '')])).toMatch(says);
  });

  test('hidden files, and folders below those of clients, are not looked at', async () => {
    for (const path of ['.git/key', 'a/.DS_Store', '1/app/11/current.jwk.json', '1/app/11/next.jwk.json']) {
      await put(`deep/${path}`);
    }
    const { files, unusable } = await filesOfFolder(join(dir, 'deep'));
    expect(files.map(({ shown }) => shown)).toEqual(['1/app/11/current.jwk.json']);
    expect(unusable).toEqual([]);
  });

  test('links in a circle end', async () => {
    await mkdir(join(dir, 'circle', 'a'), { recursive: true });
    await symlink('..', join(dir, 'circle', 'a', 'up'));
    const { files } = await filesOfFolder(join(dir, 'circle'));
    expect(files.map(({ shown }) => shown)).toEqual(['a/up']);
  });

  test('a folder that is not there is wrong usage', async () => {
    await expect(filesOfFolder(join(dir, 'nowhere'))).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('a map', () => {
  const files = [
    { names: ['1/app/11'], shown: 'one.pem' },
    { names: ['oc_two'], shown: 'keys/two, the second.pem', alg: 'RS512' },
  ];
  test.each([
    ['CSV', 'client,file,alg\n1/app/11,one.pem,\noc_two,"keys/two, the second.pem",RS512\n'],
    [
      'CSV of Windows',
      '\uFEFFFile;Client_ID;Alg\r\none.pem;1/app/11;\r\n\r\n"keys/two, the second.pem";oc_two;RS512\r\n',
    ],
    [
      'tabs, and columns of others',
      'note\tclient\tfile\talg\nx\t1/app/11\tone.pem\t\ny\toc_two\tkeys/two, the second.pem\tRS512',
    ],
    [
      'JSON lines',
      '{"client":"1/app/11","file":"one.pem"}\n\n{"client_id":"oc_two","file":"keys/two, the second.pem","alg":"RS512"}\n',
    ],
  ])('as %s', async (what, text) => {
    const map = await put(`maps/${what}`, text);
    const found = await filesOfMap(map);
    expect(found.unusable).toEqual([]);
    expect(found.files).toEqual(files.map((file) => ({ ...file, path: join(dir, 'maps', file.shown) })));
  });

  test('whose lines cannot be used are told by their numbers, and repeat nothing', async () => {
    const secret = 'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC';
    const map = await put(
      'odd.csv',
      `client,file\n,nobody.pem\n1/app/11,\n1/app/11,"-----BEGIN PRIVATE KEY-----\n${secret}"\n1/app/11,good.pem\n`,
    );
    const { files: found, unusable } = await filesOfMap(map);
    expect(found.map(({ shown }) => shown)).toEqual(['good.pem']);
    expect(unusable).toEqual([
      { file: 'line 2', reason: expect.stringContaining('names no client') },
      { file: 'line 3', reason: expect.stringContaining('names no file') },
      { file: 'line 4', reason: expect.stringContaining('file is no path') },
    ]);
    const lines = await put('odd.jsonl', `{"client":"1/app/11","file":"a"}\n${secret}\n`);
    expect((await filesOfMap(lines)).unusable).toEqual([{ file: 'line 2', reason: 'this line is no JSON object' }]);
    expect(JSON.stringify(unusable)).not.toContain(secret);
  });

  test.each([
    ['without column names', '1/app/11,one.pem\n', /must name its columns/],
    ['that is empty', '', /must name its columns/],
  ])('%s is wrong usage', async (what, text, says) => {
    const map = await put(`bad/${what}`, text);
    await expect(filesOfMap(map)).rejects.toMatchObject({ code: 'usage', message: expect.stringMatching(says) });
  });
});

describe('a key file', () => {
  test('that is a pipe, a folder, a device or endless is no file', async () => {
    const pipe = join(dir, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const huge = await put('huge');
    await truncate(huge, 2 ** 40);
    await expect(readKeyFile(pipe)).rejects.toThrow('no regular file');
    await expect(readKeyFile(dir)).rejects.toThrow('it is a folder');
    await expect(readKeyFile('/dev/zero')).rejects.toThrow('no regular file');
    await expect(readKeyFile('/dev/zero', true)).rejects.toThrow('larger than 256 KiB');
    await expect(readKeyFile(huge)).rejects.toThrow('larger than 256 KiB');
    await expect(readKeyFile(join(dir, 'nowhere'))).rejects.toThrow('ENOENT');
  });

  test.each([
    [0o600, false],
    [0o400, false],
    [0o640, true],
    [0o604, true],
    [0o620, true],
  ])('of mode %o is noticed where others may use it', async (mode, isOpen) => {
    const path = await put(`mode-${mode}`, 'key');
    await chmod(path, mode);
    expect(isOpenToOthers((await readKeyFile(path)).stats)).toBe(isOpen);
  });

  test.each([
    ['a line', 'open sesame\n', 'open sesame'],
    ['a line of Windows', 'open sesame\r\n', 'open sesame'],
    ['no line end', ' open sesame ', ' open sesame '],
    ['several lines', 'a\nb\n\n', 'a\nb\n'],
  ])('of a passphrase with %s gives it without its end', async (what, text, passphrase) => {
    const { bytes } = await readPassphrase(await put(`passphrases/${what}`, text));
    expect(bytes.toString()).toBe(passphrase);
  });

  test.each([
    ['nothing in it', '\n', 'it is empty'],
    ['too much in it', 'x'.repeat(1025), 'longer than 1024 bytes'],
  ])('of a passphrase with %s cannot be used', async (what, text, says) => {
    await expect(readPassphrase(await put(`passphrases/${what}`, text))).rejects.toThrow(says);
  });
});
