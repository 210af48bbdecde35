/** What `rekeyd start` says when it starts, and keys that come by a pipe. */
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { COMPILED } from '../support/compiled.ts';
import { startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { CLI, documentOf, openWorld, secrets, type World } from './fixture.ts';

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

test('the log is for machines, unless somebody asks for lines to read, or reads them on a terminal', async () => {
  const args = ['start', '--no-http', '--no-schedule', '--no-worker'];
  const service = world.spawn(args, { REKEYD_LOG_FORMAT: 'pretty' });
  await until('it has started', () => service.stderr().includes('INFO: started {"schedule":false'));
  service.kill('SIGTERM');
  const { code, stderr } = await service.ended;
  expect(code, stderr).toBe(0);
  for (const line of stderr.trimEnd().split('\n')) expect(line).toMatch(/^\[[\d-]+ [\d:.]+\] [A-Z]+: \S/);
  const odd = await world.run(args, { REKEYD_LOG_FORMAT: 'xml' });
  expect([odd.code, odd.stderr]).toEqual([
    2,
    expect.stringContaining('REKEYD_LOG_FORMAT is "xml". Set it to one of json, pretty'),
  ]);
});

/** util-linux's `script` gives a command a terminal of its own. */
const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0;

test.runIf(hasScript)('on a terminal, lines are for people without asking', async () => {
  const broken = await world.writeConfig(
    { ...world.config, http: { listen: new URL(world.emulator.url).host } },
    'tty.yaml',
  );
  const command = `"${process.execPath}" "${CLI}" start --config "${broken}"`;
  const env = { PATH: process.env.PATH, TERM: 'dumb', ...COMPILED, ...secrets };
  const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', env });
  expect(stdout).toMatch(/^\[[\d-]+ [\d:.]+\] WARN: \S/m);
  expect(stdout).not.toContain('"level"');
});

test('a data_dir that cannot be used is told with what to do, by whatever comes upon it', async () => {
  const blocked = join(await world.writeConfig('a file, and no folder', 'blocker'), 'data');
  const sinks = [{ kind: 'directory', path: join(world.dir, 'keys') }];
  const file = await world.writeConfig({ ...world.config, data_dir: blocked, sinks }, 'blocker.yaml');
  const impossible = await world.writeConfig({ ...world.config, data_dir: '/proc/1/rekeyd', sinks }, 'proc.yaml');
  const [started, shown, nowhere] = await Promise.all([
    world.run(['start', '--config', file]),
    world.run(['status', '--json', '--config', file]),
    world.run(['start', '--config', impossible]),
  ]);
  const message = `data_dir ${blocked} cannot be used: something on its path is a file, and no folder. Move that away, or set data_dir to a folder.`;
  expect([started.code, started.stderr]).toEqual([2, expect.stringContaining(`rekeyd: ${message} (ENOTDIR`)]);
  expect([shown.code, documentOf(shown).error.code]).toEqual([2, 'config']);
  expect([nowhere.code, nowhere.stderr]).toEqual([
    2,
    expect.stringMatching(/data_dir \/proc\/1\/rekeyd cannot be used: /),
  ]);
});

/** Root may write everywhere: there the commands run as nobody of this machine. */
const as = process.getuid?.() === 0 ? { uid: 54_321, gid: 54_321 } : {};

test('a data_dir of another user is told with what to do, where rekeyd runs its own Redis and where it does not', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-others-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const dataDir = join(dir, 'data');
  await mkdir(dataDir, { mode: 0o555 });
  await chmod(dir, 0o755);
  const file = join(dir, 'rekeyd.yaml');
  const env = { PATH: process.env.PATH, ...secrets };
  for (const section of [{}, { redis: { url: redis.url } }]) {
    await writeFile(file, JSON.stringify({ ...world.config, ...section, data_dir: dataDir }));
    for (const command of ['start', 'status']) {
      const run = { ...as, env, cwd: dir, encoding: 'utf8' } as const;
      const { status, stderr } = spawnSync(process.execPath, [CLI, command, '--config', file], run);
      const message = `data_dir ${dataDir} cannot be used: the user that rekeyd runs as may not write there. Give it the folder (chown), or set data_dir to another one. (EACCES`;
      expect([status, stderr]).toEqual([2, expect.stringContaining(`rekeyd: ${message}`)]);
      expect(stderr).not.toMatch(/^ {4}at /m);
    }
  }
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
