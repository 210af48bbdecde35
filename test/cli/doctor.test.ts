import { chmod, readFile, realpath, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { WHILE_REFUSED } from '../../src/rotation/deployment.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { startVault } from '../deliver/vault/server.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { documentOf, type Ended, openWorld, type World } from './fixture.ts';

const HOUR = 3_600_000;

let world: World;
afterEach(() => world.close());

/** The check of that name; fails the test when there is none. */
function checkOf(ended: Ended, name: string): { ok: boolean; detail: string; fix: string | null } {
  const { checks } = documentOf(ended);
  const found = checks.find((check: { name: string }) => check.name.startsWith(name));
  expect(found, `${name} among ${checks.map((check: { name: string }) => check.name).join(', ')}`).toBeDefined();
  return found;
}

test('everything that is well is said to be, and what is missing gets advice', async () => {
  world = await openWorld({ publish: { base_url: 'https://keys.example.com' } });
  await world.enrolledClient('pem-app');
  const ended = await world.run(['doctor', '--json']);
  expect(ended, ended.stdout).toMatchObject({ code: 0, stderr: '' });
  expect(documentOf(ended).ok).toBe(true);
  const names = [
    ...['config', 'sink directory', 'publish folder', 'redis persistence', 'redis eviction', 'store', 'store clock'],
    ...[
      'clients',
      'deployment 185019846023',
      'pauses',
      'waves',
      'halted clients',
      'api key',
      'clock 185019846023',
      'issuer 185019846023/pem-app',
    ],
  ];
  for (const name of names) expect(checkOf(ended, name)).toMatchObject({ ok: true, fix: null });
  expect(checkOf(ended, 'keks').detail).toBe('1 sealed keys, 1 of them opened to see');
  expect(checkOf(ended, 'workers')).toMatchObject({ ok: true, fix: 'Run `rekeyd start`.' });
});

test('a clock that is an hour off, a KEK that is missing and a sink that cannot be written are found together', async () => {
  world = await openWorld({}, {}, { now: () => Date.now() + HOUR });
  const file = await world.keyFile(await world.enrolledClient('pem-app'));
  const keks = [{ id: 'kek-2', key: 'env:KEK2' }];
  const sinks = [{ kind: 'directory', path: file }];
  await world.writeConfig({ ...world.config, encryption: { keks }, sinks });
  const [ended, told] = await Promise.all([world.run(['doctor', '--json']), world.run(['doctor'])]);
  expect([ended.code, told.code]).toEqual([1, 1]);
  for (const name of ['clock 185019846023', 'clock 185019846023/pem-app']) {
    const { ok, detail, fix } = checkOf(ended, name);
    expect(ok).toBe(false);
    expect(detail).toMatch(/^this machine's clock is (3599|360[01]) s behind the (API|issuer)/);
    expect(fix).toContain('measured by the store’s clock');
  }
  expect(checkOf(ended, 'keks')).toMatchObject({ ok: false, detail: expect.stringContaining('"kek-1"') });
  expect(checkOf(ended, 'sink')).toMatchObject({ ok: false });
  expect(checkOf(ended, 'issuer')).toMatchObject({ ok: true });
  expect(told.stdout).toMatch(/^WRONG {2}keks: .*\n {7}Put the missing KEK back/m);
});

test('each sink is looked at, and what is wrong is said with what to do', async () => {
  world = await openWorld();
  await writeFile(join(world.dir, 'vault-token'), 'hvs.token-of-a-test', { mode: 0o600 });
  const vault = await startVault();
  vault.addToken('hvs.token-of-a-test', { policy: { data: ['read'] } });
  const sinks = [
    { kind: 'directory', path: './data/keys' },
    { kind: 'vault', url: vault.url, auth: { token: 'file:./vault-token' } },
    { kind: 'exec', command: ['/no/such/program'] },
  ];
  await world.writeConfig({ ...world.config, sinks });
  const ended = await world.run(['doctor', '--json']);
  expect(ended.code).toBe(1);
  expect(checkOf(ended, 'sink directory')).toMatchObject({ ok: true });
  expect(checkOf(ended, 'sink vault')).toMatchObject({ ok: false, detail: expect.stringContaining('lacks create') });
  expect(checkOf(ended, 'sink exec')).toMatchObject({ ok: false, detail: expect.stringContaining('ENOENT') });
  expect(ended.stdout + ended.stderr).not.toContain('hvs.token-of-a-test');
  expect(vault.secrets.size).toBe(0);
});

test('a refused API key is told apart from a Redis that is gone, which ends with 3', async () => {
  world = await openWorld();
  world.emulator.revokeApiKey('test-api-key');
  const gone = await world.writeConfig({ ...world.config, redis: { url: 'redis://127.0.0.1:1' } }, 'gone.yaml');
  const [refused, both] = await Promise.all([
    world.run(['doctor', '--json']),
    world.run(['doctor', '--json', '--config', gone]),
  ]);
  expect(refused.code).toBe(1);
  expect(both.code).toBe(3);
  for (const ended of [refused, both]) {
    expect(checkOf(ended, 'api key')).toMatchObject({
      ok: false,
      fix: 'Check the API key of this deployment: it is refused.',
    });
    expect(ended.stdout + ended.stderr).not.toContain('test-api-key');
  }
  expect(checkOf(both, 'redis')).toMatchObject({ ok: false, detail: expect.stringContaining('Could not connect') });
  expect(checkOf(refused, 'redis persistence')).toMatchObject({ ok: true });
});

test('the URL style that the API key works with is told', async () => {
  world = await openWorld();
  const key = async () => checkOf(await world.run(['doctor', '--json']), 'api key').detail;
  expect(await key()).toMatch(/at \/oauth\/apps \(url_style: flat\)|at \/deployments\/.* \(url_style: deployment\)/);
  world.emulator.setApiKey('185019846023', 'test-api-key', 'write', 'api_key');
  expect(await key()).toContain('at /oauth/apps (url_style: flat)');
  world.emulator.setApiKey('185019846023', 'test-api-key', 'write', 'access_token');
  expect(await key()).toContain('at /deployments/185019846023/oauth/apps (url_style: deployment)');
});

test('an issuer that accepts a key that nobody registered is found', async () => {
  world = await openWorld();
  const page = { kind: 'page', status: 200, type: 'application/json', body: '{"active":false}' } as const;
  world.emulator.faults.add({ ...page, match: { path: /introspect/ }, times: Number.POSITIVE_INFINITY });
  const ended = await world.run(['doctor', '--json']);
  expect(ended.code).toBe(1);
  expect(checkOf(ended, 'issuer')).toMatchObject({
    ok: false,
    detail: expect.stringContaining('accepts a key that nobody registered'),
  });
});

test('a config that cannot be used ends with 2, with every problem', async () => {
  world = await openWorld({ durability: 'maybe' });
  const ended = await world.run(['doctor', '--json']);
  expect(ended.code).toBe(2);
  expect(checkOf(ended, 'config')).toMatchObject({ ok: false, detail: expect.stringContaining('durability') });
});

test('a deployment that is paused is found by doctor and status, which say why, until it goes on by itself', async () => {
  world = await openWorld();
  const client = await world.enrolledClient('pem-app');
  await world.start('--no-schedule', '--no-http');
  world.emulator.revokeApiKey('test-api-key');
  const asked = await world.run(['rotate', client.ref, '--compromised']);
  expect(asked.code, asked.stderr).toBe(0);
  const deployment = async () => documentOf(await world.run(['status', '--json'])).deployments[0];
  await until('it is paused', async (saw) => saw(await deployment()).paused !== null);
  const [examined, told] = await Promise.all([world.run(['doctor', '--json']), world.run(['status'])]);
  expect(examined.code).toBe(1);
  expect(checkOf(examined, 'deployment 185019846023')).toMatchObject({
    ok: false,
    detail: expect.stringMatching(/^paused: the API key is refused: /),
    fix: WHILE_REFUSED,
  });
  expect(told.stdout).toMatch(/^PAUSED {2}deployment 185019846023: the API key is refused: /m);
  expect(told.stdout).toContain(WHILE_REFUSED);
  const manual = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  expect(manual.replaceAll('`', '').replaceAll(/\s+/g, ' ')).toContain(WHILE_REFUSED);
  expect(told.stdout).toMatch(/^1 client: 1 paused$/m);

  world.emulator.setApiKey('185019846023', 'test-api-key');
  await until('it goes on', async (saw) => saw(await deployment()).paused === null);
  const followed = await world.run(['rotate', client.ref, '--wait']);
  expect(followed.code, followed.stderr).toBe(0);
});

test('an API that asks to be left alone is told by doctor and status, and no longer than throttle_max', async () => {
  world = await openWorld({}, { throttle_max: '30m' });
  const clients = [];
  // One client that is sent away may be the only one.
  for (let count = 0; count < 3; count += 1) clients.push(await world.enrolledClient('pem-app'));
  await world.start('--no-schedule', '--no-http');
  world.emulator.faults.add({
    kind: 'status',
    status: 429,
    message: 'Retry after 36000 seconds',
    match: CHANGE,
    times: 3,
  });
  expect((await world.run(['rotate', ...clients.map(({ ref }) => ref)])).code).toBe(0);
  const deployment = async () => documentOf(await world.run(['status', '--json'])).deployments[0];
  const { throttled_until: end } = await until('it is throttled', async () => {
    const shown = await deployment();
    return shown.throttled_until !== null && shown;
  });
  expect(Date.parse(end) - Date.now()).toBeLessThanOrEqual(30 * 60_000);
  const [examined, told] = await Promise.all([world.run(['doctor', '--json']), world.run(['status'])]);
  expect(examined.code, examined.stdout).toBe(0);
  expect(checkOf(examined, 'deployment 185019846023')).toMatchObject({
    ok: true,
    detail: `the API asks to be left alone until ${end}`,
    fix: expect.stringContaining('rate_limit'),
  });
  expect(told.stdout).toContain(`THROTTLED  deployment 185019846023: its API asks to be left alone until ${end}.`);
  expect(told.stdout).toMatch(/^3 clients: 3 throttled$/m);
});

test('keys, and secrets in files, that other users can read are told by doctor and by the log of a start', async () => {
  world = await openWorld();
  const client = await world.enrolledClient('pem-app');
  const kek = await world.writeConfig(Buffer.alloc(32, 7).toString('base64url'), 'kek');
  const keks = [{ id: 'kek-1', key: 'file:./kek' }];
  await world.writeConfig({ ...world.config, encryption: { keks } });
  const key = join(world.dir, 'data', 'keys', client.ref, 'current.pem');
  await chmod(world.dir, 0o755);
  await chmod(kek, 0o644);
  const exposed = async () => {
    const { checks } = documentOf(await world.run(['doctor', '--json']));
    return checks.filter(({ name }: { name: string }) => name === 'exposed');
  };
  expect(await exposed()).toEqual([
    {
      name: 'exposed',
      ok: true,
      detail: `${kek}: other users of this machine can read this secret`,
      fix: `Run: chmod 0600 ${kek}`,
    },
  ]);

  await chmod(kek, 0o600);
  for (let folder = dirname(key); folder !== world.dir; folder = dirname(folder)) await chmod(folder, 0o755);
  await chmod(dirname(await realpath(key)), 0o755);
  await chmod(key, 0o644);
  expect((await exposed()).map(({ detail }: { detail: string }) => detail)).toEqual([
    `${join(world.dir, 'data', 'keys')}: other users can list it`,
    `${key}: other users can read this private key`,
  ]);
  const service = await world.start('--no-schedule', '--no-http');
  expect(service.stderr()).toContain('other users can read this private key');
});

test('a Redis user who may hardly do anything is told what it lacks, and what ioredis says of it goes to the log', async () => {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const operator = await connectRedis({ socketPath: server.socketPath }, { name: 'operator' });
  onTestFinished(() => operator.disconnect());
  await operator.acl('SETUSER', 'small', 'on', '>PASSWORD', '~*', '+@connection');
  world = await openWorld();
  await world.writeConfig('PASSWORD', 'password');
  const redis = { url: `unix://${server.socketPath}`, username: 'small', password: 'file:./password' };
  await world.writeConfig({ ...world.config, redis });
  const ended = await world.run(['doctor', '--json']);
  expect(checkOf(ended, 'redis rights')).toMatchObject({
    ok: false,
    detail: 'the user may not run multi, exec, discard',
    fix: expect.stringContaining('Then run doctor again'),
  });
  const lines = ended.stderr.trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line).said)).toContainEqual(expect.stringContaining('INFO command fails'));

  await operator.acl('SETUSER', 'small', '+@transaction');
  expect(checkOf(await world.run(['doctor', '--json']), 'redis rights').fix).toMatch(/ '\+config\|get' /);
});
