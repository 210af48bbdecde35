import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { type Embedded, openEmbedded } from '../../src/store/embedded/embedded.ts';
import { programOf } from '../../src/store/embedded/server.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { checkDurability } from '../../src/store/redis/durability.ts';
import { readMemory } from '../support/process-memory.ts';

const SEARCH_PATH = process.env.PATH ?? '';

let dataDir: string;
let opened: Embedded[];
let children: ChildProcess[];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'rekeyd-data-'));
  opened = [];
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await Promise.all(opened.map((embedded) => embedded.close()));
  // Fails the test that leaves a server behind.
  const left = spawnSync('pgrep', ['-f', dataDir], { encoding: 'utf8' }).stdout.trim();
  if (left !== '') process.kill(Number(left.split('\n')[0]), 'SIGKILL');
  await rm(dataDir, { recursive: true, force: true });
  expect(left).toBe('');
});

async function open(dir = dataDir): Promise<Embedded> {
  const embedded = await openEmbedded({ dataDir: dir, searchPath: SEARCH_PATH });
  opened.push(embedded);
  return embedded;
}

type Answer = Pick<Embedded, 'socketPath' | 'serverPid' | 'owned'>;

/** Another process that opens the same data. */
async function neighbour() {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'embedded-child.ts'), dataDir], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const answer: Answer = JSON.parse((await lines.next()).value ?? 'null');
  return {
    ...answer,
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
    async close() {
      child.stdin.end();
      expect((await lines.next()).value).toBe('closed');
      await once(child, 'exit');
    },
  };
}

async function withRedis<T>(
  socketPath: string,
  use: (redis: Awaited<ReturnType<typeof connectRedis>>) => Promise<T>,
): Promise<T> {
  const redis = await connectRedis({ socketPath }, { name: 'test' });
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

const write = (at: Answer) => withRedis(at.socketPath, (redis) => redis.set('kept', 'yes'));
const read = (at: Answer) => withRedis(at.socketPath, (redis) => redis.get('kept'));

it('starts a server that keeps what it acknowledges, for us alone, and ends it when closed', async () => {
  const embedded = await open();
  expect(embedded.owned).toBe(true);
  const durability = await withRedis(embedded.socketPath, (redis) => checkDurability(redis, { mode: 'strict' }));
  expect(durability.requirements.every(({ ok }) => ok)).toBe(true);
  await write(embedded);
  expect((await stat(join(dataDir, 'redis'))).mode & 0o777).toBe(0o700);
  expect((await stat(embedded.socketPath)).mode & 0o077).toBe(0);
  expect((await stat(join(dataDir, 'redis', 'appendonlydir'))).mode & 0o077).toBe(0);
  const closing = embedded.close();
  expect(embedded.close()).toBe(closing);
  await closing;
  expect(await programOf(embedded.serverPid)).toBeNull();

  const again = await open();
  expect(await read(again)).toBe('yes');
});

it('gives the server none of our environment, which may hold secrets', async ({ skip }) => {
  skip(process.platform !== 'linux', 'only Linux shows the memory of a process');
  vi.stubEnv('REKEYD_KEK', 'a-secret-of-the-environment');
  onTestFinished(() => void vi.unstubAllEnvs());
  const { serverPid } = await open();
  const found = { secret: false, searchPath: false };
  // Redis writes its title over what /proc/PID/environ shows, and keeps a copy of it all.
  await readMemory(serverPid, (bytes) => {
    found.secret ||= bytes.includes('a-secret-of-the-environment') || bytes.includes('REKEYD_KEK');
    found.searchPath ||= bytes.includes(`PATH=${SEARCH_PATH}`);
  });
  expect(found).toEqual({ secret: false, searchPath: true });
});

it('listens on a short path when the data folder has a long one', async () => {
  const deep = join(dataDir, 'long'.repeat(20), 'path');
  await mkdir(deep, { recursive: true });
  const embedded = await open(deep);
  expect(embedded.socketPath.startsWith(deep)).toBe(false);
  expect((await open(deep)).socketPath).toBe(embedded.socketPath);
  await Promise.all(opened.map((one) => one.close()));
  await expect(stat(join(embedded.socketPath, '..'))).rejects.toMatchObject({ code: 'ENOENT' });
});

it('shares one server between processes that start at once; the last to leave ends it', async () => {
  const [ours, twin, ...others] = await Promise.all([open(), open(), neighbour(), neighbour()]);
  for (const other of [twin, ...others]) expect(other.serverPid).toBe(ours.serverPid);
  expect([ours, twin, ...others].filter(({ owned }) => owned)).toHaveLength(1);
  await ours.close();
  await twin.close();
  expect(await programOf(ours.serverPid)).toMatch(/-server/);
  await others[0]?.close();
  expect(await programOf(ours.serverPid)).toMatch(/-server/);
  await others[1]?.close();
  expect(await programOf(ours.serverPid)).toBeNull();
});

it('takes over the server of a process that was killed', async () => {
  const killed = await neighbour();
  await write(killed);
  await killed.kill();
  const embedded = await open();
  expect(embedded).toMatchObject({ serverPid: killed.serverPid, owned: true });
  expect(await read(embedded)).toBe('yes');
  await embedded.close();
  expect(await programOf(killed.serverPid)).toBeNull();
});

it('is not ended by a command that comes and goes while the service runs', async () => {
  const service = await open();
  const command = await neighbour();
  expect(command).toMatchObject({ serverPid: service.serverPid, owned: false });
  await command.close();
  await write(service);
  expect(await read(service)).toBe('yes');
});

it('starts anew when both the process and its server were killed', async () => {
  const killed = await neighbour();
  await write(killed);
  await killed.kill();
  process.kill(killed.serverPid, 'SIGKILL');
  const embedded = await open();
  expect(embedded.serverPid).not.toBe(killed.serverPid);
  expect(await read(embedded)).toBe('yes');
});

it('starts the server again when it dies under us, and connections go on by themselves', async () => {
  const embedded = await open();
  await withRedis(embedded.socketPath, async (redis) => {
    await redis.set('kept', 'yes');
    process.kill(embedded.serverPid, 'SIGKILL');
    while ((await programOf(embedded.serverPid)) !== null);
    expect(await redis.get('kept')).toBe('yes');
  });
});

it('is not held up by notes of a process that was killed while it had the lock, nor by a reused process id', async () => {
  const gone = spawnSync('true').pid;
  await mkdir(join(dataDir, 'redis'));
  await writeFile(join(dataDir, 'redis', 'turn-4'), `${gone}`);
  const note = { serverPid: process.pid, socketPath: join(dataDir, 'redis', 'redis.sock') };
  await writeFile(join(dataDir, 'redis', 'server.json'), JSON.stringify(note));
  expect((await open()).owned).toBe(true);
});

it('refuses to start a second server when the socket of the first was removed', async () => {
  const first = await neighbour();
  await first.kill();
  await rm(first.socketPath);
  await expect(openEmbedded({ dataDir, searchPath: SEARCH_PATH })).rejects.toMatchObject({
    code: 'redis_unreachable',
    message: expect.stringContaining(`kill ${first.serverPid}`),
  });
  process.kill(first.serverPid, 'SIGKILL');
  await open();
});

it('says why the server did not start', async () => {
  await mkdir(join(dataDir, 'redis', 'appendonlydir'), { recursive: true });
  await writeFile(join(dataDir, 'redis', 'appendonlydir', 'appendonly.aof.manifest'), 'nonsense\n');
  await expect(openEmbedded({ dataDir, searchPath: SEARCH_PATH })).rejects.toMatchObject({
    code: 'redis_unreachable',
    message: expect.stringMatching(/manifest/i),
  });
  expect(await readFile(join(dataDir, 'redis', 'server.log'), 'utf8')).toMatch(/manifest/i);
});

it('begins the log of the server anew when it has become long, and goes on with a short one', async () => {
  const log = join(dataDir, 'redis', 'server.log');
  await mkdir(join(dataDir, 'redis'));
  await writeFile(log, `from before\n${'.'.repeat(2 * 1024 ** 2)}`);
  await (await open()).close();
  const [first] = (await readFile(log, 'utf8')).split('\n');
  expect(first).not.toBe('from before');
  await (await open()).close();
  expect((await readFile(log, 'utf8')).startsWith(`${first}\n`)).toBe(true);
});

it('names what to install when there is no server', async () => {
  await expect(openEmbedded({ dataDir, searchPath: dataDir })).rejects.toMatchObject({
    code: 'redis_unreachable',
    message: expect.stringContaining('apt install'),
  });
});
