/** What the set-up makes of the servers on a machine, for a person and for CI. */
import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

/** The only folder on the PATH: no package manager is there. */
let bin: string;
beforeEach(async () => {
  bin = await mkdtemp(join(tmpdir(), 'rekeyd-bin-'));
});
afterEach(() => rm(bin, { recursive: true }));

async function put(program: string, script: string): Promise<void> {
  await writeFile(join(bin, program), `#!/bin/sh\n${script}\n`);
  await chmod(join(bin, program), 0o755);
}

const putServer = (server: string, version: string) => put(server, `echo "${version}"`);

const VALKEY = ['valkey-server', 'Valkey server v=8.0.1 sha=0:0'] as const;
const OLD_REDIS = ['redis-server', 'Redis server v=7.0.15 sha=0:0'] as const;

describe('the set-up', () => {
  function setUp(...args: string[]) {
    const script = join(ROOT, 'test/setup/redis.ts');
    const { status, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', env: { PATH: bin } });
    return { status, stderr };
  }

  test.each<readonly [server: string, version: string]>([
    VALKEY,
    ['redis-server', 'Redis server v=7.2.0 sha=0:0'],
    ['redis-server', 'Redis server v=8.0.0 sha=0:0'],
  ])('for CI takes %s that is %s', async (server, version) => {
    await putServer(server, version);
    expect(setUp('--all')).toMatchObject({
      status: 0,
      stderr: expect.stringMatching(/no prometheus; .* left out\.\n.*no chromium; .* left out/),
    });
  });

  test.each([
    [OLD_REDIS[1], /there is Redis server v=7\.0\.15/],
    ['nonsense', /there is nonsense/],
  ])('for CI fails where no server has WAITAOF: %s', async (version, says) => {
    await putServer('redis-server', version);
    const { status, stderr } = setUp('--all');
    expect(status).toBe(1);
    expect(stderr).toMatch(/No server with WAITAOF can be had: it takes valkey-server, or redis-server 7\.2 or later/);
    expect(stderr).toMatch(says);
  });

  test('for a person takes any server, and says nothing', async () => {
    await putServer(...OLD_REDIS);
    expect(setUp()).toEqual({ status: 0, stderr: '' });
  });

  test('fails where there is no server at all', () => {
    expect(setUp().status).toBe(1);
    expect(setUp('--all').status).toBe(1);
  });
});

describe('.ci/run, where everything else passes,', () => {
  /** Does what `npm exec` is asked for, has one test pass, and takes everything else for done. */
  const NPM = `
case "$1" in
  exec) shift 2; exec "$@" ;;
  test) for option in "$@"; do
    case "$option" in --outputFile.json=*)
      echo '{"testResults":[{"status":"passed","assertionResults":[{"status":"passed"}]}]}' > "\${option#*=}" ;;
    esac
  done ;;
esac`;

  async function ciRun() {
    await put('npm', NPM);
    await symlink(process.execPath, join(bin, 'node'));
    for (const tool of ['bash', 'env', 'dirname', 'mktemp', 'rm']) {
      const { stdout } = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' });
      await symlink(stdout.trim(), join(bin, tool));
    }
    const { status, stdout } = spawnSync(join(ROOT, '.ci/run'), { encoding: 'utf8', env: { PATH: bin } });
    return { status, last: stdout.trimEnd().split('\n').at(-1) };
  }

  test('passes with a server that has WAITAOF', async () => {
    await putServer(...VALKEY);
    expect(await ciRun()).toEqual({ status: 0, last: '1 passed, 0 failed' });
  });

  test('fails without one', async () => {
    await putServer(...OLD_REDIS);
    expect(await ciRun()).toEqual({ status: 1, last: '1 passed, 1 failed' });
  });
});
