/** A volume that hangs: no file system does that when it is asked to, so `stat` does it here. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import { openSigner } from '../../src/signer/index.ts';
import { contents, sinkKey } from '../deliver/contents.ts';

const volume = vi.hoisted(() => ({ hangs: null as Promise<void> | null, asked: 0 }));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const stat = async (...of: Parameters<typeof real.stat>) => {
    volume.asked += 1;
    await volume.hangs;
    return real.stat(...of);
  };
  const unlink = async (...of: Parameters<typeof real.rm>) => {
    await volume.hangs;
    return real.rm(...of);
  };
  return { ...real, stat, rm: unlink };
});

test('a volume that hangs does not stop sign-ins, and is not asked again until it answers', async () => {
  const root = await mkdtemp(join(tmpdir(), 'rekeyd-hanging-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const [a, b] = await Promise.all([sinkKey(), sinkKey()]);
  await directorySink(root).deliver(contents({ current: a }));
  const told: unknown[] = [];
  const folder = join(root, '185019846023', 'mcp-auth', '4711');
  const signer = await openSigner(folder, { reports: false, onReloadError: (error) => told.push(error) });

  let answer = () => {};
  volume.hangs = new Promise((resolve) => {
    answer = resolve;
  });
  await directorySink(root).deliver(contents({ current: b }));
  volume.asked = 0;
  const request = { audience: 'https://auth.example.com/oauth/token' };
  expect((await signer.assertion(request)).kid).toBe(a.kid);
  expect((await signer.assertion(request)).kid).toBe(a.kid);
  expect(volume.asked).toBe(1);
  expect(told).toMatchObject(Array(2).fill({ code: 'folder_unreadable', message: expect.stringContaining(folder) }));

  // A refusal waits for the folder: without a newer set there is nothing to go on with.
  const sent: string[] = [];
  const signIn = signer.authenticate(async (_, { kid }) => {
    sent.push(kid);
    if (kid === a.kid) setImmediate(answer);
    return { status: kid === b.kid ? 200 : 401 };
  }, request);
  expect((await signIn).status).toBe(200);
  expect(sent).toEqual([a.kid, b.kid]);
  expect((await signer.assertion(request)).kid).toBe(b.kid);
});

test('many sign-ins at once hold one thread of the pool at a volume that hangs, so that signing has the others', async () => {
  const root = await mkdtemp(join(tmpdir(), 'rekeyd-hanging-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const key = await sinkKey();
  await directorySink(root).deliver(contents({ current: key }));
  const signer = await openSigner(join(root, '185019846023', 'mcp-auth', '4711'), { reports: false });
  let answer = () => {};
  volume.hangs = new Promise((resolve) => {
    answer = resolve;
  });
  volume.asked = 0;
  const signing = Array.from({ length: 50 }, () => signer.assertion({ audience: 'https://auth.example.com' }));
  const kids = (await Promise.all(signing)).map(({ kid }) => kid);
  expect(kids).toEqual(Array(50).fill(key.kid));
  expect(volume.asked).toBe(1);
  answer();
});

test('a signer on a volume that hangs can be closed', async () => {
  const root = await mkdtemp(join(tmpdir(), 'rekeyd-hanging-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  await directorySink(root).deliver(contents({ current: await sinkKey() }));
  const folder = join(root, '185019846023', 'mcp-auth', '4711');
  const signer = await openSigner(folder);
  const reports = () => readdir(join(folder, 'signers'));
  await vi.waitFor(async () => expect(await reports()).toEqual([expect.stringMatching(/^[^.].*\.json$/)]), 10_000);
  let answer = () => {};
  volume.hangs = new Promise((resolve) => {
    answer = resolve;
  });
  await signer.close();
  expect(await reports()).toHaveLength(1);
  answer();
  await vi.waitFor(async () => expect(await reports()).toEqual([]), 10_000);
});
