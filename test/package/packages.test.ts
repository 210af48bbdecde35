/** What a release publishes, installed by npm into empty folders, and used there. */
import { globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import { contents, sinkKey } from '../deliver/contents.ts';
import { PROGRAMS } from './application.ts';
import { release, run, tarball } from './packed.ts';

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'));
let folder: string;
let made: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rekeyd-packages-'));
  made = release(folder);
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** @returns what is there, but for what npm keeps */
function install(name: string, path: string) {
  const app = join(folder, name);
  mkdirSync(app);
  run('npm', ['install', '--no-audit', path], app);
  return { app, packages: readdirSync(join(app, 'node_modules')).filter((one) => !one.startsWith('.')) };
}

test('a release has both packages, their bills of materials, and checksums that are right', () => {
  const names = ['rekeyd', 'rekeyd-signer'].flatMap((name) => [
    `${name}-${version}.cdx.json`,
    `${name}-${version}.tgz`,
  ]);
  expect(readdirSync(made).sort()).toEqual(['SHA256SUMS', ...names].sort());
  const checked = run('sha256sum', ['--check', 'SHA256SUMS'], made);
  for (const name of names) expect(checked).toContain(`${name}: OK`);
  const bom = JSON.parse(readFileSync(join(made, `rekeyd-signer-${version}.cdx.json`), 'utf8'));
  expect(bom).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: '@rekeyd/signer', version } } });
  expect(bom.components).toMatchObject([{ name: 'jose', hashes: [{ alg: 'SHA-512' }] }]);
});

test.each(['rekeyd-', 'rekeyd-signer-'])('%s… has modes that do not depend on who packed it', (prefix) => {
  const listed = run('tar', ['-tvzf', tarball(made, prefix)], folder)
    .trim()
    .split('\n');
  expect(listed.length).toBeGreaterThan(10);
  for (const line of listed) expect(line).toMatch(/^-rw(?:-r--r--|xr-xr-x) /);
});

test('@rekeyd/signer installs with jose alone, and signs', { timeout: 120_000 }, async () => {
  const { app, packages } = install('signer', tarball(made, 'rekeyd-signer-'));
  expect(packages).toEqual(['@rekeyd', 'jose']);
  await directorySink(folder).deliver(contents({ current: await sinkKey() }));
  const KEYS = join(folder, '185019846023/mcp-auth/4711');
  for (const [name, text] of Object.entries(PROGRAMS)) {
    writeFileSync(join(app, name), text);
    expect(run(process.execPath, [name], app, { KEYS }), name).toBe('client-4711\n');
  }
});

test('rekeyd installs, and its command works', { timeout: 240_000 }, () => {
  const { app, packages } = install('rekeyd', tarball(made, 'rekeyd-'));
  expect(run('npx', ['rekeyd', '--help'], app)).toContain('Usage: rekeyd');
  expect(run('npx', ['rekeyd', '--version'], app)).toContain(version);
  // Reads the config's schema, and with it most of what is in the package.
  const schema = JSON.parse(run('npx', ['rekeyd', 'config', 'schema'], app));
  expect(schema).toHaveProperty('properties.deployments');
  for (const name of ['vitest', 'typescript', 'playwright-core', 'oidc-provider']) expect(packages).not.toContain(name);
  const published = readdirSync(join(app, 'node_modules/rekeyd'));
  expect(published).toEqual(expect.arrayContaining(['dist', 'docs', 'deploy', 'rekeyd.example.yaml']));
  for (const name of ['test', 'src', 'clients']) expect(published).not.toContain(name);
  expect(globSync('{dist,docs,deploy}/**/*.test.*', { cwd: join(app, 'node_modules/rekeyd') })).toEqual([]);
});

test('rekeyd installs globally, and is on the PATH', { timeout: 240_000 }, () => {
  const prefix = join(folder, 'global');
  run('npm', ['install', '--global', '--no-audit', '--prefix', prefix, tarball(made, 'rekeyd-')], folder);
  const PATH = `${join(prefix, 'bin')}:${process.env.PATH}`;
  expect(run('rekeyd', ['--version'], folder, { PATH })).toContain(version);
});
