/** What `rekeyd start` says when it starts, and keys that come by a pipe. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { documentOf, openWorld, type World } from './fixture.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

test('start logs the warnings that config check gives', async () => {
  const { warnings } = documentOf(await world.run(['config', 'check', '--json']));
  expect(warnings.length).toBeGreaterThan(0);
  const service = await world.start('--no-http');
  service.kill('SIGTERM');
  const { stderr } = await service.ended;
  const logged = stderr.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
  for (const { path, message } of warnings) {
    expect(logged).toContainEqual(expect.objectContaining({ level: 'warn', setting: path, msg: message }));
  }
});

test('start without a schedule tells of clients that nobody has taken in', async () => {
  world.addClient('kid-app');
  // What an earlier start has left in the queue would take it in.
  const service = await world.start('--no-http', '--no-schedule', '--no-worker');
  await until('it is told', (saw) => saw(service.stderr()).includes('new clients: no schedule runs here'));
  service.kill('SIGTERM');
  const { code, stderr } = await service.ended;
  expect(code, stderr).toBe(0);
  const told = stderr.split('\n').filter((line) => line.includes('new clients: '));
  expect(told.map((line) => JSON.parse(line))).toMatchObject([
    { level: 'info', app: '185019846023/kid-app', policy: 'kid-app', adopt: 'import', clients: 1 },
  ]);
});

test('an address that is taken is told with what to do', async () => {
  const listen = new URL(world.emulator.url).host;
  const file = await world.writeConfig({ ...world.config, http: { listen } }, 'taken.yaml');
  const ended = await world.run(['start', '--config', file]);
  expect(ended.code, ended.stderr).toBe(2);
  expect(ended.stderr).toMatch(/EADDRINUSE.*: does another rekeyd run here\? Set http\.listen .*--no-http/);
});

test('keys import reads the key from stdin', async () => {
  const client = world.addClient('pem-app');
  const pem = await readFile(await world.keyFile(client), 'utf8');
  const imported = await world.run(['keys', 'import', client.ref, '--file', '-', '--json'], {}, pem);
  expect(imported.code, imported.stderr).toBe(0);
  expect(documentOf(imported)).toMatchObject({ client: client.ref, enrolment: 'held' });
});

test('doctor says that data_dir is wrong when the embedded Redis cannot be kept there', async () => {
  const blocked = join(await world.writeConfig('a file, and no folder', 'blocked'), 'data');
  const sinks = [{ kind: 'directory', path: join(world.dir, 'keys') }];
  const file = await world.writeConfig({ ...world.config, data_dir: blocked, sinks }, 'blocked.yaml');
  const ended = await world.run(['doctor', '--json', '--config', file]);
  expect(ended.code, ended.stderr).toBe(1);
  const { checks } = documentOf(ended);
  const check = { name: 'data_dir', ok: false, fix: expect.stringContaining('Correct data_dir') };
  expect(checks).toContainEqual(expect.objectContaining(check));
});

/** On a machine of six cores, as far as Node tells: says on stderr how many threads the pool had in the end. */
const COUNTING = `data:text/javascript,${encodeURIComponent(`
  import { readdirSync, readFileSync } from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  import os from 'node:os';
  os.availableParallelism = () => 6;
  syncBuiltinESMExports();
  process.on('exit', () => {
    const names = readdirSync('/proc/self/task').map((id) => readFileSync('/proc/self/task/' + id + '/comm', 'utf8'));
    console.error('pool: ' + names.filter((name) => name.startsWith('libuv-worker')).length);
  });
`)}`;

test.runIf(process.platform === 'linux').each([
  { size: '', threads: 8 },
  { size: '5', threads: 5 },
])('with UV_THREADPOOL_SIZE=$size on six cores, the thread pool has $threads threads', async ({ size, threads }) => {
  const env = { NODE_OPTIONS: `--import ${COUNTING}`, UV_THREADPOOL_SIZE: size };
  const ended = await world.run(['config', 'check'], env);
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stderr).toContain(`pool: ${threads}`);
});
