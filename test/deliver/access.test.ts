/** Who may read what is delivered, and who delivers. */
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import { exposedIn } from '../../src/deliver/exposure.ts';
import type { DeliveringStore } from '../../src/deliver/fence.ts';
import { type Access, PRIVATE } from '../../src/files/access.ts';
import { closedTo, isReadableByOthers } from '../../src/files/exposure.ts';
import { canMount } from '../support/mounting.ts';
import { contents, sinkKey } from './contents.ts';

const isRoot = process.getuid?.() === 0;
const AS_ROOT = 'only root may give files away';

/** Nobody of this machine. */
const [OWNER, GROUP] = [54_321, 54_322];

let root: string;
let app: string;
let client: string;

beforeEach(async () => {
  root = join(await mkdtemp(join(tmpdir(), 'rekeyd-access-')), 'keys');
  app = join(root, '185019846023', 'mcp-auth');
  client = join(app, '4711');
});

afterEach(() => rm(join(root, '..'), { recursive: true, force: true }));

function sinkOf(change: Partial<Access> & { readonly reports?: string; readonly store?: DeliveringStore } = {}) {
  const { reports = null, store = null, ...access } = change;
  return directorySink(root, { access: { ...PRIVATE, ...access }, reports, store });
}

async function accessOf(path: string) {
  const { mode, uid, gid } = await stat(path);
  return { mode: (mode & 0o7777).toString(8), uid, gid };
}

async function version(): Promise<string> {
  return join(client, await readlink(join(client, '..data')));
}

describe('a group that may read', () => {
  test('is given files and folders, and nobody else is', async ({ skip }) => {
    skip(!isRoot, AS_ROOT);
    await sinkOf({ mode: 0o640, dirMode: 0o750, group: GROUP }).deliver(contents({ current: await sinkKey() }));
    const folders = [root, join(root, '185019846023'), app, client, await version()];
    for (const path of folders) expect(await accessOf(path), path).toEqual({ mode: '750', uid: 0, gid: GROUP });
    for (const name of ['current.pem', 'current.jwk.json', 'meta.json']) {
      expect(await accessOf(join(client, name)), name).toEqual({ mode: '640', uid: 0, gid: GROUP });
    }
    // Its members write reports, and remove only their own.
    expect(await accessOf(join(client, 'signers'))).toEqual({ mode: '1770', uid: 0, gid: GROUP });
  });

  test('gets what is there already with the next delivery, and a start finds that it has not', async ({ skip }) => {
    skip(!isRoot, AS_ROOT);
    const current = await sinkKey();
    await sinkOf().deliver(contents({ current }));
    const grouped = sinkOf({ mode: 0o640, dirMode: 0o750, group: GROUP });
    const set = { ref: contents({}).ref, delivery: { current: current.kid, next: null, previous: null } };
    expect(await (await sinkOf().sets('185019846023/mcp-auth'))(set.ref)).toEqual(set.delivery);
    expect(await (await grouped.sets('185019846023/mcp-auth'))(set.ref)).toBeNull();
    await grouped.deliver(contents({ current }));
    expect(await (await grouped.sets('185019846023/mcp-auth'))(set.ref)).toEqual(set.delivery);
    for (const path of [root, join(root, '185019846023'), app, client, await version()]) {
      expect(await accessOf(path), path).toEqual({ mode: '750', uid: 0, gid: GROUP });
    }
    expect(await accessOf(join(client, 'current.pem'))).toEqual({ mode: '640', uid: 0, gid: GROUP });
    // The folder above is for root alone, which doctor tells.
    expect(await closedTo(GROUP, root)).toBe(join(root, '..'));
    await chmod(join(root, '..'), 0o711);
    expect(await closedTo(GROUP, root)).toBeNull();
    const as = { uid: OWNER, gid: GROUP };
    expect(execFileSync('cat', [join(client, 'current.pem')], as).toString()).toContain('PRIVATE KEY');
  });
});

describe('an owner', () => {
  test('is given the files, and only passes through folders that stay with rekeyd', async ({ skip }) => {
    skip(!isRoot, AS_ROOT);
    await sinkOf({ dirMode: 0o711, owner: OWNER }).deliver(contents({ current: await sinkKey() }));
    for (const path of [root, app, client, await version()]) {
      expect(await accessOf(path), path).toMatchObject({ mode: '711', uid: 0 });
    }
    expect(await accessOf(join(client, 'current.pem'))).toMatchObject({ mode: '600', uid: OWNER });
    expect(await accessOf(join(client, 'signers'))).toMatchObject({ mode: '755', uid: OWNER });
    // The parent of `keys` is of mkdtemp, for root alone.
    await chmod(join(root, '..'), 0o711);
    const as = { uid: OWNER, gid: GROUP };
    expect(execFileSync('cat', [join(client, 'current.pem')], as).toString()).toContain('PRIVATE KEY');
    expect(() => execFileSync('touch', [join(client, 'mine')], { ...as, stdio: 'ignore' })).toThrow();
    execFileSync('touch', [join(client, 'signers', 'host-1.json')], as);
  });

  test.each<[string, Partial<Access>, RegExp]>([
    [
      'an owner',
      { owner: 0 },
      /cannot be given to user 0 \(EPERM\).*CAP_CHOWN, which containers drop\..*group, mode: "0640"/,
    ],
    [
      'a group',
      { group: 0 },
      /cannot be given to group 0 \(EPERM\).*Make the user that rekeyd runs as a member of that group/,
    ],
  ])('that this process may not give files to is told, and what to do: %s', async (_, access, message) => {
    await mkdir(root, { recursive: true });
    await chmod(join(root, '..'), 0o755);
    await chmod(root, 0o777);
    const as = isRoot ? { uid: OWNER, gid: GROUP } : {};
    const child = fork(join(import.meta.dirname, 'restricted-child.ts'), [root, JSON.stringify(access)], {
      execArgv: [],
      ...as,
    });
    const exited = once(child, 'exit');
    const [told] = await Promise.race([once(child, 'message'), exited]);
    await exited;
    expect(told).toMatchObject({ delivered: expect.stringMatching(message), checked: expect.stringMatching(message) });
  });
});

test('reports have a place of their own where the config names one', async () => {
  const reports = join(root, '..', 'reports');
  const sink = sinkOf({ reports });
  const set = contents({ current: await sinkKey() });
  await sink.deliver(set);
  expect(await readdir(client)).not.toContain('signers');
  const folder = join(reports, '185019846023', 'mcp-auth', '4711', 'signers');
  await writeFile(join(folder, 'host-1.json'), '{"kids":["a"],"signing":"a","at":"2026-11-26T20:00:00Z"}');
  const report = { name: 'host-1', kids: ['a'], signing: 'a', at: Date.parse('2026-11-26T20:00:00Z') };
  expect(await sink.reports(set.ref)).toEqual([report]);
});

describe('two stores that deliver to one folder', () => {
  const store = (id: string, ...before: readonly string[]): DeliveringStore => ({
    id: () => id,
    predecessors: async () => before,
  });

  test('are refused: the keys of the first stay', async () => {
    const [ours, theirs] = [await sinkKey(), await sinkKey()];
    await sinkOf({ store: store('store-1') }).deliver(contents({ current: ours }));
    const other = sinkOf({ store: store('store-2') });
    await expect(other.deliver(contents({ current: theirs }, { epoch: 9 }))).rejects.toMatchObject({
      code: 'sink_failed',
      message: expect.stringMatching(
        /the store store-1 delivers there\..*must not share a folder.*remove the link .*\.\.data\./,
      ),
    });
    expect(JSON.parse(await readFile(join(client, 'meta.json'), 'utf8')).current).toBe(ours.kid);
    expect((await readdir(client)).filter((name) => /^\.\.\d/.test(name))).toHaveLength(1);
  });

  test('are one where a person declared the first as lost', async () => {
    const [ours, theirs] = [await sinkKey(), await sinkKey()];
    await sinkOf({ store: store('store-1') }).deliver(contents({ current: ours }));
    const heir = sinkOf({ store: store('store-2', 'store-0', 'store-1') });
    await heir.deliver(contents({ current: theirs }, { epoch: 9 }));
    expect(JSON.parse(await readFile(join(client, 'meta.json'), 'utf8')).current).toBe(theirs.kid);
    await expect(sinkOf({ store: store('store-1') }).deliver(contents({ current: ours }))).rejects.toThrow('store-2');
  });

  test('are one where a person removes the link: the folder itself stays', async () => {
    await sinkOf({ store: store('store-1') }).deliver(contents({ current: await sinkKey() }));
    const before = (await lstat(client)).ino;
    await rm(join(client, '..data'));
    await sinkOf({ store: store('store-2') }).deliver(contents({ current: await sinkKey() }));
    expect((await lstat(client)).ino).toBe(before);
    expect((await readdir(client)).filter((name) => /^\.\.\d/.test(name))).toHaveLength(1);
  });
});

describe('a folder that somebody prepared', () => {
  test('is kept, as it may be mounted somewhere, with what else is in it', async () => {
    await mkdir(client, { recursive: true, mode: 0o755 });
    await writeFile(join(client, 'README'), 'ours');
    const before = (await lstat(client)).ino;
    await sinkOf().deliver(contents({ current: await sinkKey() }));
    expect((await lstat(client)).ino).toBe(before);
    expect(await readFile(join(client, 'README'), 'utf8')).toBe('ours');
    expect(await accessOf(client)).toMatchObject({ mode: '700' });
  });

  test('is refused where its links were turned into files by a copy', async () => {
    const set = contents({ current: await sinkKey() });
    await sinkOf().deliver(set);
    execFileSync('cp', ['-rL', client, `${client}-copy`]);
    await rm(client, { recursive: true });
    execFileSync('mv', [`${client}-copy`, client]);
    await expect(sinkOf().deliver(set)).rejects.toThrow(/is not a link that rekeyd made. Move it away/);
  });

  test('on a file system that follows no links is told before anything is delivered', async ({ skip }) => {
    skip(!canMount(), 'nothing can be mounted here');
    await mkdir(root);
    execFileSync('mount', ['-t', 'tmpfs', 'rekeyd-test', root]);
    try {
      expect(await sinkOf().check()).toBeNull();
      execFileSync('mount', ['-o', 'remount,nosymfollow', root]);
      expect(await sinkOf().check()).toMatch(/a symbolic link there cannot be made and read .*nosymfollow/);
      expect(await readdir(root)).toEqual([]);
    } finally {
      execFileSync('umount', [root]);
    }
  });

  test('on a file system that is mounted read-only is told', async ({ skip }) => {
    skip(!canMount(), 'nothing can be mounted here');
    const set = contents({ current: await sinkKey() });
    await sinkOf().deliver(set);
    execFileSync('mount', ['--bind', root, root]);
    try {
      execFileSync('mount', ['-o', 'remount,ro,bind', root]);
      await expect(sinkOf().deliver(set)).rejects.toThrow(/read-only: mount it for writing/);
      expect(await sinkOf().check()).toMatch(/read-only: mount it for writing/);
      expect(await readFile(join(client, 'current.pem'), 'utf8')).toContain('PRIVATE KEY');
    } finally {
      execFileSync('umount', [root]);
    }
  });
});

describe('keys that others can read', () => {
  beforeEach(async () => {
    await chmod(join(root, '..'), 0o755);
    await sinkOf().deliver(contents({ current: await sinkKey() }));
  });

  async function openUp(): Promise<void> {
    for (const path of [root, join(root, '185019846023'), app, client, await version()]) await chmod(path, 0o755);
  }

  test('are none as they are delivered', async () => {
    expect(await exposedIn(root, PRIVATE)).toEqual([]);
  });

  test('are found, and folders that can be listed', async () => {
    await openUp();
    await chmod(await version(), 0o755);
    await chmod(join(client, 'current.pem'), 0o644);
    expect(await exposedIn(root, PRIVATE)).toEqual([
      { path: root, why: 'other users can list it' },
      { path: join(client, 'current.pem'), why: 'other users can read this private key' },
    ]);
  });

  test('are none behind a folder that lets nobody in', async () => {
    await openUp();
    await chmod(join(client, 'current.pem'), 0o644);
    await chmod(app, 0o750);
    expect(await exposedIn(root, PRIVATE)).toEqual([{ path: root, why: 'other users can list it' }]);
  });

  test('can be replaced where others may write', async () => {
    await chmod(client, 0o770);
    expect(await exposedIn(root, PRIVATE)).toEqual([
      { path: client, why: 'others than its owner can replace what is in it' },
    ]);
  });

  test('a secret in a file is looked at in the same way', async () => {
    const file = join(root, '..', 'kek');
    await writeFile(file, 'secret');
    await chmod(file, 0o644);
    expect(await isReadableByOthers(file)).toBe(true);
    await chmod(file, 0o640);
    expect(await isReadableByOthers(file)).toBe(false);
    await chmod(file, 0o644);
    await chmod(join(root, '..'), 0o700);
    expect(await isReadableByOthers(file)).toBe(false);
  });
});

test('a folder of another user is told', async ({ skip }) => {
  skip(!isRoot, AS_ROOT);
  await mkdir(client, { recursive: true });
  await chmod(join(root, '..'), 0o755);
  for (const path of [root, join(root, '185019846023'), app]) await chown(path, OWNER, GROUP);
  const child = fork(join(import.meta.dirname, 'restricted-child.ts'), [root, '{}'], {
    execArgv: [],
    uid: OWNER,
    gid: GROUP,
  });
  const exited = once(child, 'exit');
  const [told] = await Promise.race([once(child, 'message'), exited]);
  await exited;
  expect(told).toMatchObject({
    delivered: expect.stringMatching(/Give the (?:folder to the )?user that rekeyd runs as/),
  });
});
