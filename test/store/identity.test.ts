/** What a start makes of the store behind the address. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import { storeKeys } from '../../src/store/keys.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { firstCommit, type OpenedStore, open, ref, snapshot } from './fixtures.ts';

const keys = storeKeys('rekeyd');

let server: RedisServer;
let dir: string;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rekeyd-identity-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const redis = await connectRedis({ socketPath: server.socketPath }, { name: 'test' });
  await redis.flushall();
  redis.disconnect();
});

async function started(dataDir = dir): Promise<OpenedStore> {
  const opened = await open(server.socketPath, { dataDir });
  onTestFinished(() => opened.close());
  return opened;
}

/** A worker that held one client, and has stopped. */
async function known(): Promise<void> {
  const { store, guard, close } = await open(server.socketPath, { dataDir: dir });
  await store.commit(firstCommit(ref('alpha'), { durable: true }));
  await guard.remember();
  await close();
}

const marker = async (): Promise<unknown> => JSON.parse(await readFile(join(dir, 'store.json'), 'utf8'));

it('names a new store once, however many start at once, and knows it again', async () => {
  const [one, two] = await Promise.all(['a', 'b'].map((name) => started(join(dir, name))));
  expect(one?.store.id).toBe(two?.store.id);
  await known();
  expect(await marker()).toEqual({ id: one?.store.id, clients: 1, size: 1 });
  expect((await started()).store.id).toBe(one?.store.id);
});

it('tells once that data_dir cannot be written any more, and writes down how far the log is when it can', async () => {
  const told: (string | null)[] = [];
  const options = { dataDir: dir, onNotes: (problem: string | null) => void told.push(problem) };
  const { store, close } = await open(server.socketPath, options);
  onTestFinished(() => close());
  await rm(join(dir, 'store.json'));
  await mkdir(join(dir, 'store.json', 'in the way'), { recursive: true });
  await store.commit(firstCommit(ref('alpha'), { durable: true }));
  await until('it is told', () => told.length > 0);
  await rm(join(dir, 'store.json'), { recursive: true });
  // Nothing more is committed.
  await until('it is told', () => told.length > 1);
  expect(told).toEqual([expect.stringContaining('store.json'), null]);
  expect(await marker()).toMatchObject({ id: store.id, size: 1 });
});

it('accepts a store that other workers filled', async () => {
  const other = await started(join(dir, 'other'));
  await other.store.commit(firstCommit(ref('alpha')));
  const { store } = await started();
  expect(await marker()).toEqual({ id: store.id, clients: 1, size: 1 });
});

it('does not start with a store that was rolled back, and with a restored one it does', async () => {
  const { store, redis } = await started(join(dir, 'other'));
  await store.commit(firstCommit(ref('beta')));
  const rollBack = await snapshot(redis);
  await known();
  const restore = await snapshot(redis);
  await rollBack();
  await expect(started()).rejects.toMatchObject({
    code: 'store_lost',
    message: expect.stringMatching(/rolled back.*ends at entry 1.*entry 2/),
  });
  await restore();
  await started();
});

it.each([
  ['is empty', () => 'FLUSHALL'],
  ['is another one (another)', () => ['SET', keys.id, 'another']],
])('does not start with a store that %s, and says both ways on', async (why, damage) => {
  await known();
  const { redis } = await started(join(dir, 'other'));
  const [command = '', ...args] = [damage()].flat();
  await redis.call(command, ...args);
  const before = await redis.keys('*');
  await expect(started()).rejects.toMatchObject({
    code: 'store_lost',
    message: expect.stringMatching(/Restore the backup of Redis.*rekeyd store declare-loss/),
  });
  await expect(started()).rejects.toMatchObject({ message: expect.stringContaining(why) });
  expect(await redis.keys('*')).toEqual(before);
});

it('starts afresh where nothing was known', async () => {
  const first = await started();
  await first.redis.flushall();
  const again = await started();
  expect(again.store.id).not.toBe(first.store.id);
  expect(await marker()).toEqual({ id: again.store.id, clients: 0, size: 0 });
});

it('takes a marker of version 0.1 for what it is', async () => {
  await known();
  const { id } = (await marker()) as { id: string }; // what the guard writes
  await writeFile(join(dir, 'store.json'), JSON.stringify({ id, clients: 1 }));
  const { redis } = await started();
  await redis.flushall();
  await expect(started()).rejects.toMatchObject({ code: 'store_lost' });
});

it.each(['', '{"id":', '{"id":"x"}', 'null'])('does not take a damaged marker for none: %j', async (content) => {
  await writeFile(join(dir, 'store.json'), content);
  await expect(started()).rejects.toMatchObject({
    code: 'store_lost',
    message: expect.stringContaining(join(dir, 'store.json')),
  });
});
