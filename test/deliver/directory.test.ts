import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ClientRef } from '../../src/core/client.ts';
import { directorySink } from '../../src/deliver/directory.ts';
import { canMount } from '../support/mounting.ts';
import { contents, holds, sinkKey } from './contents.ts';

let root: string;
let app: string;
let client: string;

beforeEach(async () => {
  root = join(await mkdtemp(join(tmpdir(), 'rekeyd-sink-')), 'keys');
  app = join(root, '185019846023', 'mcp-auth');
  client = join(app, '4711');
});

afterEach(() => rm(join(root, '..'), { recursive: true, force: true }));

/** What a reader finds: not what rekeyd keeps for itself, nor where signers write. */
async function filesOf(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).filter((name) => !name.startsWith('..') && name !== 'signers').sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), 'utf8')])),
  );
}

/** One version, as a careful reader sees it: what it reads counts if the link still names that version afterwards. */
async function readSet(path: string): Promise<Record<string, string>> {
  const data = join(path, '..data');
  for (;;) {
    const version = await readlink(data);
    const files = await filesOf(join(path, version)).catch((error: unknown) => error);
    // A version that was replaced meanwhile may be half removed; the one in use never is.
    if ((await readlink(data)) !== version) continue;
    if (files instanceof Error) throw files;
    return files as Record<string, string>; // not an error, so what filesOf resolves to
  }
}

/** No trace of any version but the one in use. */
async function expectOneVersion(): Promise<void> {
  expect(await readdir(app)).toEqual(['4711']);
  const version = await readlink(join(client, '..data'));
  const names = await readdir(join(client, version));
  expect((await readdir(client)).sort()).toEqual(['..data', version, ...names, 'signers'].sort());
  for (const name of names) expect(await readlink(join(client, name))).toBe(`..data/${name}`);
}

function expectConsistent(files: Record<string, string>): void {
  const meta = JSON.parse(files['meta.json'] ?? 'null');
  const roles = ['current', 'next', 'previous'].filter((role) => meta[role] !== null);
  const expected = ['meta.json', 'public.jwks.json', ...roles.map((role) => `${role}.jwk.json`)];
  if (meta.current !== null) expected.push('current.pem');
  expect(Object.keys(files)).toEqual(expected.sort());
  for (const role of roles) expect(JSON.parse(files[`${role}.jwk.json`] ?? 'null').kid).toBe(meta[role]);
  const published: { kid: string }[] = JSON.parse(files['public.jwks.json'] ?? 'null').keys;
  expect(published.map(({ kid }) => kid)).toEqual(roles.map((role) => meta[role]));
}

describe('a delivered set', () => {
  test('holds the keys under their names, and public halves without private members', async () => {
    const [current, next, previous] = await Promise.all([sinkKey(), sinkKey(), sinkKey()]);
    await directorySink(root).deliver(contents({ current, next, previous }));
    const files = await filesOf(client);
    expectConsistent(files);
    expect(holds(current, files['current.pem'] ?? '')).toBe(true);
    expect(holds(current, files['current.jwk.json'] ?? '')).toBe(true);
    expect(holds(next, files['next.jwk.json'] ?? '')).toBe(true);
    expect(holds(previous, files['previous.jwk.json'] ?? '')).toBe(true);
    expect(JSON.parse(files['current.jwk.json'] ?? '')).toMatchObject({ kid: current.kid, alg: 'ES256', use: 'sig' });
    expect(JSON.parse(files['public.jwks.json'] ?? '')).toEqual({
      keys: [current, next, previous].map(({ jwk, kid }) => ({ ...jwk, kid, use: 'sig', alg: 'ES256' })),
    });
    expect(JSON.parse(files['meta.json'] ?? '')).toEqual({
      client_id: 'client-4711',
      issuer: 'https://auth.example.com',
      alg: 'ES256',
      current: current.kid,
      next: next.kid,
      previous: previous.kid,
      updated_at: '2026-11-23T03:00:00.000Z',
    });
  });

  test('can be asked for its kids; what is none that can be read says nothing', async () => {
    const { ref } = contents({});
    const asked = async () => (await directorySink(root).sets('185019846023/mcp-auth'))(ref);
    expect(await asked()).toBeNull();
    const [current, previous] = [await sinkKey(), await sinkKey()];
    await directorySink(root).deliver(contents({ current, previous }));
    expect(await asked()).toEqual({ current: current.kid, next: null, previous: previous.kid });
    await writeFile(join(client, 'meta.json'), '{');
    expect(await asked()).toBeNull();
    await rm(client, { recursive: true });
    await writeFile(client, 'in the way');
    expect(await asked()).toBeNull();
  });

  test('leaves no file of a key that is gone, and no older version', async () => {
    const [a, b] = await Promise.all([sinkKey(), sinkKey()]);
    const sink = directorySink(root);
    await sink.deliver(contents({ current: a, next: b }));
    await sink.deliver(contents({ current: b }));
    await sink.deliver(contents({}));
    expect(Object.keys(await filesOf(client))).toEqual(['meta.json', 'public.jwks.json']);
    await expectOneVersion();
  });

  test('is the same when delivered again', async () => {
    const sink = directorySink(root);
    const same = contents({ current: await sinkKey(), next: await sinkKey() });
    await sink.deliver(same);
    const before = await filesOf(client);
    await sink.deliver(same);
    expect(await filesOf(client)).toEqual(before);
  });

  test('takes over what it shares with the set before, under whatever name', async () => {
    const [a, b] = await Promise.all([sinkKey(), sinkKey()]);
    const sink = directorySink(root);
    const inode = async (name: string) => (await stat(join(client, name))).ino;
    await sink.deliver(contents({ current: a, next: b }));
    const before = { current: await inode('current.jwk.json'), next: await inode('next.jwk.json') };
    await sink.deliver(contents({ current: b, previous: a }));
    expect(await inode('current.jwk.json')).toBe(before.next);
    expect(await inode('previous.jwk.json')).toBe(before.current);
    expectConsistent(await filesOf(client));
    await expectOneVersion();
  });

  test.each<[string, (path: string) => Promise<void>]>([
    ['mode', (path) => chmod(path, 0o644)],
    ['contents', (path) => writeFile(path, 'something else')],
  ])('is put right where somebody changed the %s of a file', async (_what, change) => {
    const sink = directorySink(root);
    const same = contents({ current: await sinkKey() });
    await sink.deliver(same);
    const before = await filesOf(client);
    await change(join(client, 'current.pem'));
    await sink.deliver(same);
    expect(await filesOf(client)).toEqual(before);
    expect((await stat(join(client, 'current.pem'))).mode & 0o777).toBe(0o600);
  });

  test.each([0o000, 0o077, 0o277])('is readable to its owner only, whatever the umask (%o)', async (umask) => {
    const before = process.umask(umask);
    try {
      await directorySink(root).deliver(contents({ current: await sinkKey(), next: await sinkKey() }));
    } finally {
      process.umask(before);
    }
    const version = await realpath(join(client, '..data'));
    const folders = [root, join(root, '185019846023'), app, client, version, join(client, 'signers')];
    const files = (await readdir(version)).map((name) => join(version, name));
    const modes = async (paths: string[]) =>
      new Set(await Promise.all(paths.map(async (path) => (await stat(path)).mode & 0o7777)));
    expect(await modes(folders)).toEqual(new Set([0o700]));
    expect(await modes(files)).toEqual(new Set([0o600]));
  });
});

describe('nasty ids', () => {
  test.each([
    ['../../etc', ['%2E%2E', '%2E%2E', 'etc']],
    ['a/./..', ['a', '%2E', '%2E%2E']],
    ['a/.b/c d', ['a', '%2Eb', 'c%20d']],
    ['a\\b/c\0d/%2e', ['a%5Cb', 'c%00d', '%252e']],
  ])('%j stays inside the folder', async (ref, path) => {
    // Nothing that parseReference lets through looks like this; the sink does not rely on it.
    await directorySink(root).deliver(contents({ current: await sinkKey() }, { ref: ref as ClientRef }));
    expectConsistent(await filesOf(join(root, ...path)));
    expect(await readdir(join(root, '..'))).toEqual(['keys']);
  });
});

describe('what a crash left', () => {
  test.each([
    ['an empty version', []],
    ['a begun version', ['..data_tmp']],
    ['a half-written version', ['..data_tmp', 'current.pem']],
    ['a version that was replaced', ['current.pem', 'meta.json']],
  ])('%s is gone after the next delivery', async (_what, names) => {
    const sink = directorySink(root);
    const first = contents({ current: await sinkKey() });
    await sink.deliver(first);
    const left = join(client, '..0-00aa11bb');
    await mkdir(left);
    for (const name of names) {
      if (name === '..data_tmp') await symlink('..0-00aa11bb', join(left, name));
      else await writeFile(join(left, name), 'half');
    }
    await sink.deliver(first);
    await expectOneVersion();
  });
});

describe('at once', () => {
  test('readers see a complete set at any moment', async () => {
    const keys = await Promise.all([sinkKey(), sinkKey(), sinkKey()]);
    const [a, b, c] = keys;
    const sink = directorySink(root);
    const sets = [
      contents({ current: a, next: b }),
      contents({ current: b, previous: a }),
      contents({ current: b }),
      contents({ next: c }),
    ];
    await sink.deliver(contents({ current: a }));
    let delivering = true;
    const seen = new Set<string>();
    const readers = [0, 1].map(async () => {
      while (delivering) {
        const files = await readSet(client);
        expectConsistent(files);
        seen.add(files['meta.json'] ?? '');
      }
    });
    for (let round = 0; round < 15; round++) for (const set of sets) await sink.deliver(set);
    delivering = false;
    await Promise.all(readers);
    expect(seen.size).toBeGreaterThan(1);
  });

  test('a set of a later epoch stays', async () => {
    const [a, b] = [await sinkKey(), await sinkKey()];
    const sink = directorySink(root);
    await sink.deliver(contents({ current: b, previous: a }, { epoch: 12 }));
    await expect(sink.deliver(contents({ current: a, next: b }, { epoch: 9 }))).rejects.toMatchObject({
      code: 'sink_outdated',
      epoch: 12,
    });
    expect(JSON.parse((await filesOf(client))['meta.json'] ?? '')).toMatchObject({ current: b.kid, previous: a.kid });
    await expectOneVersion();
    await sink.deliver(contents({ current: b }, { epoch: 12 }));
    expect(Object.keys(await filesOf(client))).not.toContain('previous.jwk.json');
  });

  test('of several processes the one with the latest epoch has the last word', async () => {
    const script = join(import.meta.dirname, 'deliverer.ts');
    const kids = await Promise.all(
      ['1', '3', '2'].map(async (epoch) => {
        const child = fork(script, [root, '25', epoch], { execArgv: [] });
        const exit = once(child, 'exit');
        const [kid] = await Promise.race([once(child, 'message'), exit]);
        expect(await exit).toEqual([0, null]);
        return kid;
      }),
    );
    expect(JSON.parse((await filesOf(client))['meta.json'] ?? '').current).toBe(kids[1]);
    await expectOneVersion();
  });

  test('several processes that deliver the same client leave one complete set', async () => {
    const script = join(import.meta.dirname, 'deliverer.ts');
    const processes = [1, 2, 3].map(() => fork(script, [root, '15'], { execArgv: [] }));
    let running = processes.length;
    const ends = processes.map(async (child) => {
      const [code] = await once(child, 'exit');
      running--;
      return code;
    });
    try {
      await Promise.race([...processes.map((child) => once(child, 'message')), ...ends]);
      while (running > 0) expectConsistent(await readSet(client));
    } finally {
      if (running > 0) for (const child of processes) child.kill('SIGKILL');
      await Promise.all(ends);
    }
    expect(await Promise.all(ends)).toEqual([0, 0, 0]);
    expectConsistent(await filesOf(client));
    await expectOneVersion();
  });
});

describe('a place that cannot be written', () => {
  test('a file stands where the folder should be', async () => {
    await writeFile(root, '');
    await expect(directorySink(root).deliver(contents({}))).rejects.toMatchObject({
      code: 'sink_failed',
      message: expect.stringContaining(client),
    });
    expect(await directorySink(root).check()).toMatch(/file stands where a folder is needed/);
  });

  test('a file system that takes no files', async () => {
    const sink = directorySink('/proc/rekeyd-keys');
    await expect(sink.deliver(contents({}))).rejects.toMatchObject({ code: 'sink_failed' });
    expect(await sink.check()).toContain('/proc/rekeyd-keys');
  });

  test.each(['file', 'foreign link'])('a %s that somebody else put at the client path is left alone', async (kind) => {
    await mkdir(app, { recursive: true });
    if (kind === 'file') await writeFile(client, 'precious');
    else await symlink('/nowhere', client);
    await expect(directorySink(root).deliver(contents({ current: await sinkKey() }))).rejects.toMatchObject({
      code: 'sink_failed',
      message: expect.stringMatching(/did not make.*Move it away/),
    });
    expect(await readdir(app)).toEqual(['4711']);
  });

  test('a key file that somebody else put into the client folder is left alone, and no key is delivered beside it', async () => {
    await mkdir(client, { recursive: true });
    await writeFile(join(client, 'current.pem'), 'precious');
    await expect(directorySink(root).deliver(contents({ current: await sinkKey() }))).rejects.toMatchObject({
      code: 'sink_failed',
      message: expect.stringMatching(/current\.pem is not a link that rekeyd made. Move it away/),
    });
    expect(await readFile(join(client, 'current.pem'), 'utf8')).toBe('precious');
    expect(await readdir(client)).not.toContain('..data');
  });

  test('its sets cannot be looked at', async () => {
    await mkdir(join(app, '..'), { recursive: true });
    await writeFile(app, '');
    await expect(directorySink(root).sets('185019846023/mcp-auth')).rejects.toMatchObject({ code: 'sink_failed' });
  });

  test('a sink that is closed meanwhile', async () => {
    const sink = directorySink(root);
    const deliveries = [sink.deliver(contents({ current: await sinkKey() })), sink.deliver(contents({}))];
    sink.close();
    const refused = { status: 'rejected', reason: { code: 'sink_failed' } };
    expect(await Promise.allSettled([...deliveries, sink.deliver(contents({}))])).toMatchObject(Array(3).fill(refused));
  });

  test('a good place passes the check and keeps nothing of it', async () => {
    expect(await directorySink(root).check()).toBeNull();
    expect(await readdir(root)).toEqual([]);
  });
});

describe('a full disk', () => {
  test('leaves the old set as it was, and the next delivery works once there is space', async ({ skip }) => {
    skip(!canMount(), 'a small disk cannot be mounted here');
    await mkdir(root);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'rekeyd-test', root]);
    try {
      const [a, b] = await Promise.all([sinkKey(), sinkKey()]);
      const sink = directorySink(root);
      await sink.deliver(contents({ current: a }));
      const before = await filesOf(client);
      await writeFile(join(root, 'ballast'), Buffer.alloc(1 << 20)).catch(() => {}); // as much as fits
      await expect(sink.deliver(contents({ current: b, next: a }))).rejects.toMatchObject({
        code: 'sink_failed',
        message: expect.stringMatching(/disk is full/),
      });
      expect(await filesOf(client)).toEqual(before);
      expect(await sink.check()).toMatch(/disk is full/);
      await expectOneVersion();

      await rm(join(root, 'ballast'));
      await sink.deliver(contents({ current: b, next: a }));
      expectConsistent(await filesOf(client));
    } finally {
      execFileSync('umount', [root]);
    }
  });
});
