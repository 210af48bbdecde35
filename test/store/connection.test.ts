import { Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { bullConnection } from '../../jobs/queues.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { placeOf, type RedisTarget, renewTarget } from '../../src/store/redis/target.ts';
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
  await expect(refused).rejects.toMatchObject({ message: expect.not.stringMatching(/wrong@|Start the server/) });

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

it('a database that the server does not have is an error, for BullMQ too, and never database 0', async () => {
  const server = await startRedis({ settings: ['--databases', '4'] });
  onTestFinished(() => server.stop());
  const target = { url: `${server.url}/4` };
  await expect(connectRedis(target, { name: 'test', connectTimeout: 3_600_000 })).rejects.toMatchObject({
    code: 'redis_unreachable',
    message: expect.stringMatching(/database 4 cannot be used: .*out of range.*Correct the number in redis\.url/),
  });

  const queue = new Queue('control', { connection: bullConnection(target) });
  onTestFinished(() => queue.close());
  const refused = new Promise<string>((resolve) => {
    let errors = 0;
    queue.on('error', ({ message }) => {
      errors += 1;
      if (errors === 3) resolve(message); // it is tried again and again
    });
  });
  const added = queue.add('job', {}).then(() => 'added');
  added.catch(() => {}); // when the test is over
  expect(await Promise.race([added, refused])).toMatch(/database 4 cannot be used/);
  const operator = await connectRedis({ url: server.url }, { name: 'operator' });
  onTestFinished(() => operator.disconnect());
  expect(await operator.dbsize()).toBe(0);
});

it('a target that is renewed keeps no certificate and no password that the config does not have any more', () => {
  const url = 'rediss://redis.test:6379';
  const one: RedisTarget = { url, login: { password: 'old' }, tls: { ca: 'old', cert: 'old', key: 'old' } };
  renewTarget(one, { url });
  expect(placeOf(one)).toMatchObject({ login: {}, tls: {} });
  expect(JSON.stringify(one)).not.toContain('old');
  const nodes = [{ host: '127.0.0.1', port: 1 }];
  const common = { kind: 'sentinels', name: 'primary', nodes } as const;
  const group: RedisTarget = {
    group: { ...common, login: { password: 'old' }, sentinelPassword: 'old', tls: { ca: 'old' } },
  };
  const { group: held } = group;
  renewTarget(group, { group: { ...common, login: {} } });
  expect(group.group).toBe(held); // connections read it
  expect(JSON.stringify(group)).not.toContain('old');
});

it('signs in with the password of the moment when a connection is made anew', async () => {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const operator = await connectRedis({ socketPath: server.socketPath }, { name: 'operator' });
  onTestFinished(() => operator.disconnect());
  await operator.config('SET', 'requirepass', 'one');
  let password = 'one';
  const target = {
    url: server.url,
    get login() {
      return { password };
    },
  };
  const redis = await connectRedis(target, { name: 'test' });
  onTestFinished(() => redis.disconnect());
  await operator.config('SET', 'requirepass', 'two');
  password = 'two';
  const id = await redis.client('ID');
  await operator.client('KILL', 'ID', id);
  expect(await redis.client('ID')).not.toBe(id);
});
