import { expect, it } from 'vitest';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { startRedis } from '../support/redis.ts';

it.each([
  ['redis://:secret@127.0.0.1:1', 'redis_unreachable'],
  ['unix:///nowhere/redis.sock', 'redis_unreachable'],
  ['http://user:secret@localhost', 'config'],
  ['redis://:secret@localhost/not-a-number', 'config'],
  ['secret', 'config'],
])('connecting to %s fails with %s and shows no password', async (url, code) => {
  const error: unknown = await connectRedis({ url }, { name: 'test', connectTimeout: 100 }).catch((refused) => refused);
  expect(error).toMatchObject({ code });
  expect(String(error)).not.toContain('secret');
});

it('connects by URL, with database and password, and says at once when the password is wrong', async () => {
  const server = await startRedis();
  const patient = { name: 'test', connectTimeout: 20_000 };
  const plain = await connectRedis({ url: `${server.url}/2` }, patient);
  await plain.set('where', 'database 2');
  await plain.config('SET', 'requirepass', 'r/ght');

  const url = (password: string) => server.url.replace('//', `//:${encodeURIComponent(password)}@`);
  const redis = await connectRedis({ url: `${url('r/ght')}/2` }, patient);
  expect(await redis.get('where')).toBe('database 2');
  const refused = connectRedis({ url: url('wrong') }, { name: 'test', connectTimeout: 3_600_000 });
  await expect(refused).rejects.toMatchObject({
    code: 'redis_unreachable',
    message: expect.stringContaining('WRONGPASS'),
  });
  await expect(refused).rejects.toMatchObject({ message: expect.not.stringContaining('wrong@') });

  redis.disconnect();
  plain.disconnect();
  await server.stop();
});

it('says once that the connection is lost and once that it is back', async () => {
  const server = await startRedis();
  const lines: string[] = [];
  const note = (_: object, message: string) => void lines.push(message);
  const redis = await connectRedis({ url: server.url }, { name: 'test', log: { warn: note, info: note } });
  await server.kill();
  const waiting = redis.ping();
  await server.restart();
  expect(await waiting).toBe('PONG');
  expect(lines).toEqual([expect.stringContaining('lost'), expect.stringContaining('again')]);
  redis.disconnect();
  await server.stop();
});
