/** `@rekeyd/signer` as it is published: what is in it, and that applications of each kind can use it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import { contents, sinkKey } from '../deliver/contents.ts';
import { PROGRAMS, TYPED } from './application.ts';
import { packSigner, run } from './packed.ts';

const repository = join(import.meta.dirname, '../..');
const node = join(repository, 'clients/node');
const FLAGS = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--types', 'node'];
let folder: string;
let app: string;
let keys: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rekeyd-package-'));
  // As an install leaves it, without one: packages.test.ts asks npm for it.
  const tarball = packSigner(folder);
  app = join(folder, 'app');
  const installed = join(app, 'node_modules/@rekeyd/signer');
  mkdirSync(installed, { recursive: true });
  run('tar', ['-xzf', tarball, '-C', installed, '--strip-components', '1'], folder);
  for (const name of ['jose', 'openid-client', 'oauth4webapi', '@types/node', 'undici-types']) {
    mkdirSync(dirname(join(app, 'node_modules', name)), { recursive: true });
    symlinkSync(join(repository, 'node_modules', name), join(app, 'node_modules', name));
  }
  for (const [name, text] of Object.entries({ ...PROGRAMS, ...TYPED })) writeFileSync(join(app, name), text);
  await directorySink(folder).deliver(contents({ current: await sinkKey() }));
  keys = join(folder, '185019846023/mcp-auth/4711');
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each(Object.keys(PROGRAMS))('%s signs', (name) => {
  expect(run(process.execPath, [name], app, { KEYS: keys })).toBe('client-4711\n');
});

test('its types fit openid-client, oauth4webapi and fetch, with the types of browsers and without them', () => {
  for (const lib of ['es2022', 'es2022,dom']) {
    const tsc = join(repository, 'node_modules/.bin/tsc');
    const args = [...FLAGS, '--target', 'es2022', '--lib', lib, ...Object.keys(TYPED)];
    const { stdout } = spawnSync(tsc, args, { cwd: app, encoding: 'utf8' });
    const [at, text] = ['typed.cts', 'typed.mts'].map((name) => lineOf(name));
    const errors = stdout.split('\n').filter((line) => line.includes('error'));
    expect(errors).toEqual([
      expect.stringMatching(`^typed.cts\\(${at},\\d+\\): error TS2322: .*'number'`),
      expect.stringMatching(`^typed.mts\\(${text},\\d+\\): error TS2322: .*'number'`),
    ]);
  }
});

test('the code in its README compiles', () => {
  const readme = readFileSync(join(node, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code ?? '');
  expect(blocks.length).toBeGreaterThan(3);
  const names = blocks.map((_, index) => `readme-${index}.mts`);
  for (const [index, code] of blocks.entries()) writeFileSync(join(app, names[index] ?? ''), `${code}export {};\n`);
  run(join(repository, 'node_modules/.bin/tsc'), [...FLAGS, '--target', 'es2022', ...names], app);
  // The lines of the change are those of the program below it.
  const change = /```diff\n([\s\S]*?)```/;
  const [, diff = ''] = change.exec(readme) ?? [];
  const added = diff.split('\n').filter((one) => one.startsWith('+'));
  expect(added).toHaveLength(3);
  for (const line of added) expect(blocks[0]).toContain(line.slice(1));
  expect(change.exec(readFileSync(join(repository, 'README.md'), 'utf8'))?.[1]).toBe(diff);
});

function lineOf(name: string): number {
  const lines = Object.entries(TYPED).flatMap(([file, text]) => (file === name ? text.split('\n') : []));
  return lines.findIndex((line) => line.includes('mistake')) + 1;
}

test('needs jose alone, holds no more than the signer, and has the version of rekeyd', () => {
  const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
  const published = read(join(app, 'node_modules/@rekeyd/signer/package.json'));
  const rekeyd = read(join(repository, 'package.json'));
  expect(Object.keys(published.dependencies)).toEqual(['jose']);
  expect(published.dependencies.jose).toBe(`^${rekeyd.dependencies.jose}`);
  expect(published.version).toBe(rekeyd.version);
  expect(published.license).toBe(rekeyd.license);
  expect(readFileSync(join(node, 'LICENSE'))).toEqual(readFileSync(join(repository, 'LICENSE')));
  const size = run('du', ['-sk', join(app, 'node_modules/@rekeyd/signer')], folder);
  expect(Number.parseInt(size, 10)).toBeLessThan(200);
});
