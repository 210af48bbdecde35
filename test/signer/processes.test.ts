/** What takes more than one process, or another user, to see. */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import type { SinkContents, SinkKey } from '../../src/deliver/sink.ts';
import { contents, sinkKey } from '../deliver/contents.ts';
import { COMPILED } from '../support/compiled.ts';
import { until } from '../support/until.ts';

let root: string;
let folder: string;
let a: SinkKey;
let b: SinkKey;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'rekeyd-processes-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  folder = join(root, '185019846023', 'mcp-auth', '4711');
  [a, b] = await Promise.all([sinkKey(), sinkKey()]);
});

const sink = () => directorySink(root);
const deliver = (keys: Partial<Pick<SinkContents, 'current' | 'next' | 'previous'>>) => sink().deliver(contents(keys));

async function start(as: { readonly uid?: number; readonly gid?: number } = {}) {
  const env = { PATH: process.env.PATH, ...(as.uid === undefined ? COMPILED : {}) };
  const child = fork(join(import.meta.dirname, 'signing-child.ts'), [folder], { env, ...as });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, first: await answer(child) };
}

async function answer(child: ChildProcess): Promise<unknown> {
  const [message] = await once(child, 'message');
  return message;
}

async function sign(child: ChildProcess): Promise<unknown> {
  const answered = answer(child);
  child.send('sign');
  return answered;
}

test('two processes share a folder: each follows it, and has a report of its own', async () => {
  await deliver({ current: a, next: b });
  const [one, two] = await Promise.all([start(), start()]);
  expect(await Promise.all([sign(one.child), sign(two.child)])).toEqual(Array(2).fill({ kid: a.kid, told: [] }));
  await deliver({ current: b, previous: a });
  expect(await Promise.all([sign(one.child), sign(two.child)])).toEqual(Array(2).fill({ kid: b.kid, told: [] }));
  const names = [one, two].map(({ child }) => `${hostname()}-${child.pid}`).sort();
  const reports = await until('both have reported', async (saw) => {
    const found = saw(await sink().reports(contents({}).ref));
    return found.filter(({ signing }) => signing === b.kid).length === 2 && found;
  });
  expect(reports.map(({ name }) => name).sort()).toEqual(names);
});

/** Root may become another user, and read everything. */
const isRoot = process.getuid?.() === 0;

/** Nobody of this machine. */
const OTHER = { uid: 54_321, gid: 54_321 };

test.runIf(isRoot)('keys that belong to another user and are closed to this one: what to do is said', async () => {
  await deliver({ current: a });
  await chmod(root, 0o755);
  const { first } = await start(OTHER);
  expect(first).toMatchObject({
    opened: false,
    code: 'folder_unreadable',
    message: expect.stringMatching(/This user may not read it.*mode "0640"/),
  });
});

test.runIf(isRoot)('keys that belong to another user and are open to the group of this one are used', async () => {
  const access = { mode: 0o640, dirMode: 0o750, owner: null, group: OTHER.gid };
  const shared = directorySink(root, { access, reports: null, store: null });
  await shared.deliver(contents({ current: a }));
  await chmod(root, 0o755);
  const { child, first } = await start(OTHER);
  expect(first).toEqual({ opened: true });
  // A new set that it may not read leaves it with the one before.
  await shared.deliver(contents({ current: b }));
  const version = await realpath(join(folder, '..data'));
  for (const name of await readdir(version)) await chown(join(version, name), 0, 0);
  expect(await sign(child)).toEqual({ kid: a.kid, told: ['folder_unreadable'] });
  await shared.deliver(contents({ current: b }));
  expect(await sign(child)).toEqual({ kid: b.kid, told: [] });
});

test('an open signer does not keep its process', () => {
  const module = join(import.meta.dirname, '../../src/signer/index.ts');
  const script = `import { openSigner } from ${JSON.stringify(module)}; await openSigner(process.argv[1]); console.log('open');`;
  return deliver({ current: a }).then(() => {
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script, folder], { encoding: 'utf8' });
    expect(out).toBe('open\n');
  });
});
