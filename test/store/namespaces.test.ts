/** Several namespaces in one Redis: each a store of its own, and a changed name is no fresh start. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { storeKeys } from '../../src/store/keys.ts';
import { findNamespaces } from '../../src/store/namespaces.ts';
import { startRedis } from '../support/redis.ts';
import { firstCommit, type OpenOptions, open, ref } from './fixtures.ts';

const alpha = ref('alpha');

async function startServer(): Promise<string> {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  return server.socketPath;
}

async function opened(socketPath: string, options: OpenOptions = {}) {
  const store = await open(socketPath, options);
  onTestFinished(store.close);
  return store;
}

async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-namespace-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

test('the names of the namespace rekeyd are those of earlier versions', () => {
  const keys = storeKeys('rekeyd');
  expect([keys.queues, keys.id, keys.record(alpha)]).toEqual([
    '{rekeyd}',
    '{rekeyd}:store:id',
    `{rekeyd}:store:client:${alpha}`,
  ]);
});

test('two namespaces share nothing but the server', async () => {
  const socketPath = await startServer();
  const one = await opened(socketPath);
  const two = await opened(socketPath, { keys: storeKeys('two') });
  await one.store.commit(firstCommit(alpha, { durable: true }));
  expect(one.store.id).not.toBe(two.store.id);
  expect(await two.store.load(alpha)).toBeNull();
  expect(await two.store.auditSize()).toBe(0);
  const names = await one.redis.keys('*');
  expect(names.filter((name) => !name.startsWith('{rekeyd}:store:')).sort()).toEqual(['{two}:store:id']);
  expect(await findNamespaces(one.redis)).toEqual([
    { namespace: 'rekeyd', id: one.store.id, clients: 1 },
    { namespace: 'two', id: two.store.id, clients: 0 },
  ]);
});

test.each([
  ['is empty', false],
  ['is another one', true],
])(
  'a changed namespace on a known data_dir is an alarm that names where the clients are: the new one %s',
  async (why, isTaken) => {
    const socketPath = await startServer();
    const dataDir = await folder();
    const before = await opened(socketPath, { dataDir });
    await before.store.commit(firstCommit(alpha, { durable: true }));
    await before.guard.remember();
    if (isTaken) await opened(socketPath, { keys: storeKeys('staging') });
    await before.redis.eval(`for i = 1, 5000 do redis.call('SET', 'of-somebody-else-' .. i, i) end`, 0);
    const changed = open(socketPath, { dataDir, keys: storeKeys('staging') });
    await expect(changed).rejects.toMatchObject({
      code: 'store_lost',
      message: expect.stringMatching(`namespace staging of the Redis.*${why}.*write namespace: rekeyd in the config`),
    });
    const keys = storeKeys('staging');
    expect(await before.redis.exists(keys.id, keys.touched)).toBe(isTaken ? 1 : 0);
  },
);
