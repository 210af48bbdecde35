/** `rekeyd status --watch`: one screen, painted anew. */
import { expect, onTestFinished, test } from 'vitest';
import { plain, repaint, stdoutCanvas } from '../../src/commands/output.ts';
import { showing } from '../../src/commands/status/watch.ts';
import { startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { openWorld } from './fixture.ts';

test('shows the fleet and those clients that need a person first, says when Redis is away, goes on, and ends with 0', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const world = await openWorld({ redis: { url: `unix://${redis.socketPath}` } });
  onTestFinished(() => world.close());
  const [client, failing] = await Promise.all([world.enrolledClient('pem-app'), world.enrolledClient('pem-app')]);
  const held = world.addClient('kid-app');
  await world.run(['keys', 'import', held.ref, '--file', await world.keyFile(held)]);
  const service = await world.start('--no-http');
  const watching = world.spawn(['status', '--watch']);
  const pictures = () => watching.stdout().split(/\n\n(?=\d{4}-)/);
  const first = await until('the fleet is shown', (saw) => {
    const [picture, next] = saw(pictures());
    return next !== undefined && picture;
  });
  expect(first).toMatch(/^\S+Z {2}3 clients: 1 held, 2 healthy\n/);
  expect(first).toMatch(/^Due by schedule: 0 now, 0 within 24 hours, 0 within 7 days$/m);
  expect(first).toMatch(/^185019846023 +3 +1000 in 1 s +\d+ % +8 ms +6 ms$/m);
  expect(first).toMatch(/^kid-app +1 +in \d+.*, in \d+.*, in \d+.* +-$/m);
  expect(first).toMatch(/^\S+:\d+ +\d+\.\d+\.\d+\S* +[+-]\d+\.\d s +ready$/m);
  // Held ones come before healthy ones.
  expect(first?.match(/^185019846023\/\S+/gm)).toEqual([held.ref, ...[client.ref, failing.ref].sort()]);

  const refuse = { status: 422, message: 'no \x1b[31mthanks', match: { method: 'PATCH' } } as const;
  world.emulator.faults.add({ kind: 'status', ...refuse, times: Number.POSITIVE_INFINITY });
  await world.run(['rotate', failing.ref, '--wait']);
  const second = await until('the failure comes first', (saw) => {
    const picture = saw(pictures()).findLast((one) => one.includes('1 failed'));
    return picture?.includes('FAILED') && picture;
  });
  expect(second.match(/^185019846023\/\S+/m)?.[0]).toBe(failing.ref);
  expect(watching.stdout()).not.toContain('\x1b');

  await redis.kill();
  await until(
    'it says that Redis is away',
    () => /^(Redis has not answered|The fleet cannot be read)/m.test(watching.stdout()),
    30_000,
  );
  const before = watching.stdout().length;
  await redis.restart();
  await until('it goes on', () => /^\S+Z {2}3 clients/m.test(watching.stdout().slice(before)), 60_000);
  watching.kill('SIGINT');
  const { code, stderr } = await watching.ended;
  expect([code, stderr.replace(/^.*lost the connection.*$/gm, '')]).toEqual([0, expect.any(String)]);
  service.kill('SIGTERM');
  await service.ended;

  const named = world.spawn(['status', '--watch', client.ref]);
  await until('a client that is named is shown alone', () => named.stdout().includes(client.ref));
  expect(named.stdout()).toContain('No worker runs');
  expect(named.stdout()).not.toContain(failing.ref);
  named.kill('SIGTERM');
  expect((await named.ended).code).toBe(0);
  expect(await world.run(['status', '--watch', '--json'])).toMatchObject({ code: 2 });
});

test('a screen is painted over, and no line of it is too long or too many', () => {
  let written = '';
  const size = { rows: 4, columns: 10 };
  repaint(['short', 'a line that is too long', '𝟙𝟚𝟛𝟜𝟝𝟞𝟟𝟠𝟡𝟘', 'this one does not fit'], {
    size,
    write: (text) => (written = text),
  });
  expect(written).toBe('\x1b[Hshort\x1b[K\na line th…\x1b[K\n𝟙𝟚𝟛𝟜𝟝𝟞𝟟𝟠𝟡𝟘\x1b[K\n\x1b[J');
  expect(written).not.toContain('\x1b[2J');
  expect(plain('no \x1b[2Jthanks\r\n\u0085')).toBe('no  [2Jthanks   ');
});

test('on a terminal, what was seen last stays below the word that nothing can be read', async () => {
  const ended = new AbortController();
  const writes: string[] = [];
  let looks = 0;
  const look = async () => {
    looks += 1;
    if (looks === 2) throw new Error('Redis is gone.');
    return ['all is well'];
  };
  const canvas = () => ({
    size: { rows: 24, columns: 80 },
    write: (text: string) => {
      writes.push(text);
      if (writes.length === 3) ended.abort();
    },
  });
  await showing(look, canvas, ended.signal, 1);
  expect(writes[1]).toContain('\x1b[HThe fleet cannot be read: Redis is gone. rekeyd tries again.');
  expect(writes[1]).toContain('all is well');
  expect([writes[0], writes[2]]).toEqual([writes[0], writes[0]]);
});

test('a terminal that does not say how large it is shows a usual screen', () => {
  expect(stdoutCanvas({ isTTY: true, rows: 0, columns: 0 }).size).toEqual({ rows: 24, columns: 80 });
  expect(stdoutCanvas({ isTTY: true, rows: 50, columns: 100 }).size).toEqual({ rows: 50, columns: 100 });
  expect(stdoutCanvas({ isTTY: false, rows: 0, columns: 0 }).size).toBeNull();
});
