import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { checkIdentity } from '../../src/store/identity.ts';
import { keys } from '../../src/store/keys.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { adoption, type OpenedStore, open, ref } from './fixtures.ts';

let server: RedisServer;
let opened: OpenedStore;
let dir: string;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());
beforeEach(async () => {
  opened = await open(server.socketPath);
  await opened.redis.flushall();
  dir = await mkdtemp(join(tmpdir(), 'rekeyd-identity-'));
});
afterEach(async () => {
  opened.close();
  await rm(dir, { recursive: true });
});

const marker = async (): Promise<unknown> => JSON.parse(await readFile(join(dir, 'store.json'), 'utf8'));

async function known(): Promise<void> {
  const identity = await checkIdentity(opened.redis, dir);
  await opened.store.commit(adoption(ref('alpha')));
  await identity.remember();
}

it('names a new store once, and knows it again', async () => {
  const [one, two] = await Promise.all(['a', 'b'].map((name) => checkIdentity(opened.redis, join(dir, name))));
  expect(one?.id).toBe(two?.id);
  await known();
  expect(await marker()).toEqual({ id: one?.id, clients: 1 });
  expect((await checkIdentity(opened.redis, dir)).id).toBe(one?.id);
});

it('accepts a store that other workers filled', async () => {
  await opened.store.commit(adoption(ref('alpha')));
  const { id } = await checkIdentity(opened.redis, dir);
  expect(await marker()).toEqual({ id, clients: 1 });
});

it.each([
  ['was emptied', () => opened.redis.flushall()],
  ['lost its clients', () => opened.redis.del(keys.clients)],
  ['is another one', () => opened.redis.set(keys.id, 'another')],
])('raises the alarm when the store %s, until the marker is removed', async (_, damage) => {
  await known();
  await damage();
  await expect(checkIdentity(opened.redis, dir)).rejects.toMatchObject({
    code: 'store_empty',
    message: expect.stringContaining(join(dir, 'store.json')),
  });
  await rm(join(dir, 'store.json'));
  await expect(checkIdentity(opened.redis, dir)).resolves.toBeDefined();
});

it('starts afresh where no client was known', async () => {
  const { id } = await checkIdentity(opened.redis, dir);
  await opened.redis.flushall();
  const again = await checkIdentity(opened.redis, dir);
  expect(again.id).not.toBe(id);
  expect(await marker()).toEqual({ id: again.id, clients: 0 });
});

it.each(['', '{"id":', '{"id":"x"}', 'null'])('does not take a damaged marker for none: %j', async (content) => {
  await writeFile(join(dir, 'store.json'), content);
  await expect(checkIdentity(opened.redis, dir)).rejects.toMatchObject({ code: 'store_empty' });
});
