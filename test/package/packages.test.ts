/** Both packages, installed by npm into an empty folder, and used there. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import { contents, sinkKey } from '../deliver/contents.ts';
import { PROGRAMS } from './application.ts';
import { pack, run } from './packed.ts';

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'));
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rekeyd-packages-'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function install(name: string, which: Parameters<typeof pack>[0]): string {
  const app = join(folder, name);
  mkdirSync(app);
  const tarball = pack(which, mkdtempSync(join(folder, 'packed-')));
  run('npm', ['install', '--no-audit', tarball], app);
  return app;
}

describe('@rekeyd/signer', () => {
  test('installs with jose alone, and signs', { timeout: 120_000 }, async () => {
    const app = install('signer', 'clients/node');
    expect(readdirSync(join(app, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual(['@rekeyd', 'jose']);
    await directorySink(folder).deliver(contents({ current: await sinkKey() }));
    const KEYS = join(folder, '185019846023/mcp-auth/4711');
    for (const [name, text] of Object.entries(PROGRAMS)) {
      writeFileSync(join(app, name), text);
      expect(run(process.execPath, [name], app, { KEYS }), name).toBe('client-4711\n');
    }
  });
});

describe('rekeyd', () => {
  test('installs, and its command works', { timeout: 240_000 }, () => {
    const app = install('rekeyd', 'rekeyd');
    expect(run('npx', ['rekeyd', '--help'], app)).toContain('Usage: rekeyd');
    expect(run('npx', ['rekeyd', '--version'], app)).toContain(version);
    // Reads the config, and with it most of what is in the package.
    const example = join(app, 'node_modules/rekeyd/rekeyd.example.yaml');
    const schema = JSON.parse(run('npx', ['rekeyd', 'config', 'schema'], app));
    expect(schema).toHaveProperty('properties.deployments');
    expect(readFileSync(example, 'utf8')).toContain('deployments:');
    for (const name of ['vitest', 'typescript', 'playwright-core', 'oidc-provider']) {
      expect(readdirSync(join(app, 'node_modules'))).not.toContain(name);
    }
    expect(readdirSync(join(app, 'node_modules/rekeyd'))).not.toContain('test');
  });
});
