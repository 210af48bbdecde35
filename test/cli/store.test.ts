/** `rekeyd store`, and what the other commands make of a store that was lost. */
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { type Client, documentOf, openWorld, type World } from './fixture.ts';

let redis: RedisServer;
let world: World;
let client: Client;
let id: string;
let operator: Redis;
beforeAll(async () => {
  redis = await startRedis();
  operator = await connectRedis({ socketPath: redis.socketPath }, { name: 'operator' });
  world = await openWorld({ redis: { url: `unix://${redis.socketPath}` } });
});
afterAll(async () => {
  operator.disconnect();
  await world.close();
  await redis.stop();
});

async function flush(): Promise<void> {
  await operator.flushall();
}

async function entries(): Promise<readonly { type: string; data: object; reason: string }[]> {
  return documentOf(await world.run(['audit', 'tail', '-n', '100', '--json']));
}

test('status of a store that nobody has used says so, and gives it no name', async () => {
  const [told, listed] = [await world.run(['store', 'status']), await world.run(['store', 'status', '--json'])];
  expect(told, told.stderr).toMatchObject({ code: 0, stderr: '' });
  expect(told.stdout).toMatch(
    /^This namespace of Redis is empty: it holds no store\.\nThis data_dir knows no store yet\.$/m,
  );
  const audit = { sealed: 0, hash: '0'.repeat(64), unsealed: 0, kid: null, problem: null };
  expect(documentOf(listed)).toEqual({ id: null, clients: 0, entries: 0, known: null, problem: null, audit });
});

test('declare-loss of a store that is not lost is wrong usage, and changes nothing', async () => {
  client = await world.enrolledClient('pem-app');
  const before = documentOf(await world.run(['store', 'status', '--json']));
  const declared = await world.run(['store', 'declare-loss', '--json']);
  expect(declared.code, declared.stderr).toBe(2);
  expect(documentOf(declared).error).toMatchObject({
    code: 'usage',
    message: expect.stringContaining('Nothing is lost'),
  });
  id = before.id;
  expect(documentOf(await world.run(['store', 'status', '--json']))).toEqual(before);
  expect(before).toMatchObject({
    clients: 1,
    problem: null,
    known: { id, clients: 1, entries: expect.any(Number) },
  });
  expect(before.known.entries).toBeGreaterThan(0);
});

test('a store that was emptied: status and doctor end with 1, start and rotate do not work with it, and all say both ways on', async () => {
  await flush();
  const commands = [
    ['store', 'status'],
    ['doctor'],
    ['start'],
    ['plan', '--all'],
    ['rotate', client.ref],
    ['status'],
    ['keys', 'rewrap'],
  ];
  for (const command of commands) {
    const ended = await world.run(command);
    expect(ended.code, command.join(' ')).toBe(1);
    expect(ended.stdout + ended.stderr, command.join(' ')).toMatch(
      /Restore the backup of Redis[\s\S]*rekeyd store declare-loss/,
    );
  }
  const listed = await world.run(['store', 'status', '--json']);
  expect(documentOf(listed)).toMatchObject({ id: null, clients: 0, known: { id, clients: 1 }, problem: 'is empty' });
  const { checks } = documentOf(await world.run(['doctor', '--json']));
  expect(checks).toContainEqual(expect.objectContaining({ name: 'store', ok: false, detail: 'it is empty' }));
  expect(await operator.keys('{rekeyd}:store:*')).toEqual([]);
});

test('declare-loss takes what is there as the truth, under another name and with a new segment of the audit log', async () => {
  const declared = await world.run(['store', 'declare-loss', '--json', '--reason', 'the disk is gone']);
  expect(declared.code, declared.stderr).toBe(0);
  const { id: next, lost } = documentOf(declared);
  expect([lost, next === id]).toEqual([id, false]);
  expect(declared.stderr).toContain('rekeyd keys import');
  const data = { store: next, lost: id, why: 'is empty' };
  expect(await entries()).toMatchObject([{ type: 'store.segment', reason: 'the disk is gone', data }]);
  const shown = await world.run(['store', 'status']);
  expect(shown, shown.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining(next) });
  const service = await world.start('--no-http');
  service.kill('SIGTERM');
  expect((await service.ended).code).toBe(0);
  // The key of its folder is taken in again.
  const imported = await world.run(['keys', 'import', client.ref, '--file', await world.keyFile(client)]);
  expect(imported.code, imported.stderr).toBe(0);
});

test('a store that is emptied under a service that runs: it says so once, and goes on when the loss is declared', async () => {
  const service = await world.start('--no-http');
  const told = () => service.stderr().match(/the store cannot be worked with: nothing is changed/g) ?? [];
  await flush();
  await until('it is told', (saw) => saw(told().length) > 0);
  const declared = await world.run(['store', 'declare-loss']);
  expect(declared.code, declared.stderr).toBe(0);
  expect(declared.stdout).toMatch(/^Store \S+ replaces store \S+\. Running workers take it up by themselves\.$/m);
  await until('it goes on', (saw) => saw(service.stderr()).includes('the store can be worked with again'));
  expect(told()).toHaveLength(1);
  const imported = await world.run(['keys', 'import', client.ref, '--file', await world.keyFile(client), '--enroll']);
  expect(imported.code, imported.stderr).toBe(0);
  const rotated = await world.run(['rotate', client.ref, '--wait']);
  expect(rotated.code, rotated.stderr).toBe(0);
  service.kill('SIGTERM');
  expect((await service.ended).code).toBe(0);
});

test('a store that was rolled back is told by how far its audit log is', async () => {
  const { known } = documentOf(await world.run(['store', 'status', '--json']));
  const size = await operator.get('{rekeyd}:store:audit:size');
  await operator.set('{rekeyd}:store:audit:size', 1);
  const ended = await world.run(['store', 'status']);
  expect(ended.code).toBe(1);
  expect(ended.stderr).toMatch(
    new RegExp(`was rolled back: its audit log ends at entry 1, and entry ${known.entries} was written before`),
  );
  await operator.set('{rekeyd}:store:audit:size', size ?? '');
  expect((await world.run(['store', 'status'])).code).toBe(0);
});

test('declare-loss names the requests that the queue still holds, and keeps them', async () => {
  const asked = documentOf(
    await world.run(['rotate', client.ref, '--compromised', '--reason', 'key in a log', '--json']),
  );
  await world.run(['rotate', client.ref, '--reason', 'new laptop']);
  await operator.set('{rekeyd}:store:id', 'of another store');
  const declared = await world.run(['store', 'declare-loss', '--json']);
  expect(declared.code, declared.stderr).toBe(0);
  expect(documentOf(declared).requests).toEqual([
    { id: asked.request, reason: 'key in a log', compromised: true },
    { id: expect.any(String), reason: 'new laptop', compromised: false },
  ]);
  expect(declared.stderr).toContain('2 requests wait in the queue: they run when a worker is connected');
  expect(declared.stderr).toContain(`request ${asked.request}: key in a log (compromised)`);
  expect(await operator.zcard('{rekeyd}:requests:prioritized')).toBe(1);
});
