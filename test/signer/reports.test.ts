/** What a signer tells rekeyd of itself. */
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import type { SinkContents, SinkKey } from '../../src/deliver/sink.ts';
import { openSigner, type Signer, type SignerOptions } from '../../src/signer/index.ts';
import { contents, sinkKey } from '../deliver/contents.ts';
import { until } from '../support/until.ts';

const audience = 'https://auth.example.com/oauth/token';
const NAME = `${hostname()}-${process.pid}.json`;
let root: string;
let folder: string;
let a: SinkKey;
let b: SinkKey;
let opened: Signer[];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'rekeyd-reports-'));
  folder = join(root, '185019846023', 'mcp-auth', '4711');
  [a, b] = await Promise.all([sinkKey(), sinkKey()]);
  opened = [];
});

afterEach(async () => {
  for (const signer of opened) await signer.close();
  await rm(root, { recursive: true, force: true });
});

const sink = () => directorySink(root);
const deliver = (keys: Partial<Pick<SinkContents, 'current' | 'next' | 'previous'>>) => sink().deliver(contents(keys));

async function open(options?: SignerOptions): Promise<Signer> {
  const signer = await openSigner(folder, options);
  opened.push(signer);
  return signer;
}

/** As rekeyd reads it. */
async function reported(kids: readonly string[], signing: string) {
  return until(`it is reported that ${signing} signs`, async () => {
    const [report] = await sink().reports(contents({}).ref);
    return report?.signing === signing && report.kids.join() === kids.join() && report;
  });
}

test('is which keys it holds and which one it signs with, from the start', async () => {
  await deliver({ current: a, next: b });
  const before = Date.now();
  await open();
  const { name, at } = await reported([a.kid, b.kid], a.kid);
  expect(`${name}.json`).toBe(NAME);
  expect(at).toBeGreaterThanOrEqual(before);
  expect(at).toBeLessThanOrEqual(Date.now());
});

test('follows what it signs with', async () => {
  await deliver({ current: a, next: b });
  const signer = await open();
  await deliver({ current: b, previous: a });
  await signer.assertion({ audience });
  await reported([b.kid, a.kid], b.kid);
});

test('follows new keys also while it signs nothing', async () => {
  await deliver({ current: a });
  await open();
  await deliver({ current: a, next: b });
  await reported([a.kid, b.kid], a.kid);
});

test('names the other key while the server takes that one', async () => {
  await deliver({ current: a, next: b });
  const signer = await open();
  await signer.authenticate(async (_, { kid }) => ({ status: kid === b.kid ? 200 : 401 }), { audience });
  await reported([a.kid, b.kid], b.kid);
});

test('is taken back when it is closed, and not written any more', async () => {
  await deliver({ current: a });
  const signer = await open();
  await reported([a.kid], a.kid);
  await signer.close();
  expect(await readdir(join(folder, 'signers'))).toEqual([]);
  await deliver({ current: b });
  expect((await signer.assertion({ audience })).kid).toBe(b.kid);
  await signer.close();
  expect(await readdir(join(folder, 'signers'))).toEqual([]);
});

test('can be read by another user whatever the umask, and holds no secret', async () => {
  await deliver({ current: a });
  const before = process.umask(0o077);
  try {
    await open();
    await reported([a.kid], a.kid);
  } finally {
    process.umask(before);
  }
  const file = join(folder, 'signers', NAME);
  expect((await stat(file)).mode & 0o777).toBe(0o644);
  expect(Object.keys(JSON.parse(await readFile(file, 'utf8'))).sort()).toEqual(['at', 'kids', 'signing']);
});

test('goes where it is told', async () => {
  await deliver({ current: a });
  const elsewhere = join(root, 'elsewhere');
  await mkdir(elsewhere);
  await open({ reports: elsewhere });
  await until('it is there', async (saw) => saw(await readdir(elsewhere)).includes(NAME));
  expect(await readdir(join(folder, 'signers'))).toEqual([]);
});

test('of others that ended long ago are cleared away', async () => {
  await deliver({ current: a });
  const [old, recent] = ['old-1.json', 'recent-1.json'].map((name) => join(folder, 'signers', name));
  for (const path of [old, recent]) await writeFile(path ?? '', '{}');
  await utimes(old ?? '', 1_000, 1_000);
  await open();
  await reported([a.kid], a.kid);
  expect((await readdir(join(folder, 'signers'))).sort()).toEqual([NAME, 'recent-1.json'].sort());
});

test('are not made where nobody wants them', async () => {
  await deliver({ current: a });
  const signer = await open({ reports: false });
  await signer.assertion({ audience });
  await signer.close();
  expect(await readdir(join(folder, 'signers'))).toEqual([]);
});

test('do not keep it from signing where there is no place for them', async () => {
  await deliver({ current: a });
  await rm(join(folder, 'signers'), { recursive: true });
  const errors: unknown[] = [];
  const signer = await open({ onReportError: (error) => errors.push(error) });
  expect((await signer.assertion({ audience })).kid).toBe(a.kid);
  await signer.close();
  expect(errors).toEqual([]);
});

test('that cannot be written although there is a place are told', async () => {
  await deliver({ current: a });
  await mkdir(join(folder, 'signers', NAME));
  const errors: unknown[] = [];
  const signer = await open({ onReportError: (error) => errors.push(error) });
  await until('it is told', (saw) => saw(errors.length) > 0);
  await signer.assertion({ audience });
  await signer.close();
  expect(errors).toEqual([expect.objectContaining({ code: 'report_failed', message: expect.stringContaining(NAME) })]);
  expect(await readdir(join(folder, 'signers'))).toEqual([NAME]);
});

test('the three lines of shell in docs/signers.md are one, too', async () => {
  await deliver({ current: a, next: b });
  const page = await readFile(join(import.meta.dirname, '../../docs/signers.md'), 'utf8');
  const [, lines = ''] = /```sh\n(# in the key folder[\s\S]*?)```/.exec(page) ?? [];
  expect(
    lines
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('#')),
  ).toHaveLength(3);
  await chmod(folder, 0o700);
  execFileSync('sh', ['-e', '-c', lines], { cwd: folder });
  const [report] = await sink().reports(contents({}).ref);
  expect(report).toMatchObject({ kids: [a.kid, b.kid], signing: a.kid });
  expect(Math.abs((report?.at ?? 0) - Date.now())).toBeLessThan(60_000);
});
