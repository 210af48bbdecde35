/** `rekeyd audit` beside a service that seals: from the first checkpoint to a broken seal, and an auditor who has the files alone. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { storeKeys } from '../../src/store/keys.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { documentOf, openWorld, type World } from './fixture.ts';

const keys = storeKeys('rekeyd');

let redis: RedisServer;
let world: World;
beforeAll(async () => {
  redis = await startRedis();
  world = await openWorld({ redis: { url: `unix://${redis.socketPath}` } });
});
afterAll(async () => {
  await world.close();
  await redis.stop();
});

test('a service seals, an auditor verifies, keys change, and a broken seal has a next step', async () => {
  await world.enrolledClient('pem-app');
  const service = await world.start('--no-schedule');
  const status = async () => documentOf(await world.run(['store', 'status', '--json']));
  const sealed = () =>
    until('all is sealed', async (saw) => {
      const { audit } = saw(await status());
      return audit.unsealed === 0 && audit.sealed > 0 && audit;
    });
  const { kid, sealed: size, hash } = await sealed();
  const told = await until('it tells of that', () =>
    lines(service.stderr()).find(({ msg }) => msg === 'audit log sealed'),
  );
  expect(told).toMatchObject({ kid, public_key: expect.stringMatching(/^[\w-]{43}$/) });

  const rotated = documentOf(await world.run(['audit', 'rotate-key', '--reason', 'each year', '--json']));
  expect(rotated).toEqual({ before: kid, kid: expect.not.stringContaining(kid) });
  expect(await sealed()).toMatchObject({ kid: rotated.kid });
  const exported = await world.run(['audit', 'export', 'log', '--json']);
  expect(documentOf(exported), exported.stderr).toMatchObject({ broken: null });
  // Nothing but the files: no config, no secrets.
  const offline = (...args: string[]) => world.run(['audit', 'verify', ...args], { REKEYD_CONFIG: '/nowhere' });
  const key = join(world.dir, 'log', `audit-key-${kid}.pem`);
  const verified = await offline('log', '--public-key', key, '--expect', `${size}:${hash}`);
  expect(verified, verified.stderr).toMatchObject({ code: 0, stderr: '' });
  expect(verified.stdout).toMatch(
    /^Entries 1–\d+ sealed, last at \S+Z; 0 not yet sealed\.\nSigned by key \S+, then \S+\.\n/,
  );
  expect((await offline('log')).stdout).toContain('as the folders say');
  expect(documentOf(await offline('log', '--json'))).toMatchObject({
    ok: true,
    first: 1,
    kids: [kid, rotated.kid],
    trusted: 'export',
  });
  expect(await offline('log', '--expect', 'much')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--expect'),
  });

  const [name = ''] = (await readdir(join(world.dir, 'log'))).filter((file) => file.endsWith('.jsonl'));
  const text = await readFile(join(world.dir, 'log', name), 'utf8');
  await writeFile(join(world.dir, 'log', name), text.replace('client.held', 'client.sold'));
  const found = await offline('log', '--json');
  const at = lines(text).find(({ type }) => type === 'client.held')?.seq;
  expect([found.code, documentOf(found)]).toMatchObject([1, { ok: false, entry: at }]);
  expect(found.stderr).toMatch(new RegExp(`^Entry ${at} was changed`));

  expect(await world.run(['audit', 'new-segment', '--reason', 'none'])).toMatchObject({ code: 2 });
  const operator = await connectRedis({ socketPath: redis.socketPath }, { name: 'operator' });
  await operator.hdel(keys.sealKeys, 'jwe');
  operator.disconnect();
  await world.enrolledClient('pem-app');
  await until('the service says so', () => service.stderr().includes('THE AUDIT LOG IS NOT SEALED'));
  const [broken, looked] = [await world.run(['store', 'status']), await world.run(['doctor'])];
  expect(broken).toMatchObject({ code: 1, stderr: expect.stringContaining('rekeyd audit new-segment --reason TEXT') });
  expect(looked.stdout).toMatch(/^WRONG {2}audit seal: sealed up to \d+:.*its signing key \S+ is gone/m);
  const begun = await world.run(['audit', 'new-segment', '--reason', 'the key was deleted by mistake', '--json']);
  expect(documentOf(begun), begun.stderr).toMatchObject({ keepsKey: false, first: expect.any(Number) });
  await sealed();
  expect(await world.run(['store', 'status'])).toMatchObject({ code: 0 });
  expect((await world.run(['doctor'])).stdout).toMatch(/^ok {5}audit seal: sealed up to/m);
  await world.run(['audit', 'export', 'all']);
  const seen = await offline('all');
  expect(seen.code, seen.stderr).toBe(0);
  expect(seen.stdout).toMatch(
    /^A loss was declared at entry \d+: "the key was deleted by mistake"; \d+ entries before it were never sealed\.$/m,
  );

  // What it did last is sealed when it ends.
  await world.enrolledClient('kid-app');
  service.kill('SIGTERM');
  await service.ended;
  expect((await status()).audit).toMatchObject({ unsealed: 0, problem: null });

  const [old, newer] = [
    { id: 'kek-1', key: 'env:KEK' },
    { id: 'kek-2', key: 'env:KEK2' },
  ];
  const both = await world.writeConfig({ ...world.config, encryption: { keks: [newer, old] } }, 'both.yaml');
  const only = await world.writeConfig({ ...world.config, encryption: { keks: [newer] } }, 'only.yaml');
  expect(await world.run(['store', 'status', '--config', only])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('its KEK is not configured'),
  });
  expect((await world.run(['keys', 'rewrap', '--config', only])).code).toBe(1);
  const wrapped = await world.run(['keys', 'rewrap', '--config', both]);
  expect(wrapped).toMatchObject({ code: 0, stderr: expect.stringContaining('signs the audit log uses KEK kek-2 now') });
  expect(await world.run(['store', 'status', '--config', only])).toMatchObject({ code: 0 });
}, 120_000);

test('a log in the embedded Redis is sealed when its service has ended', async () => {
  const alone = await openWorld();
  try {
    await alone.enrolledClient('pem-app');
    const service = await alone.start('--no-schedule');
    service.kill('SIGTERM');
    expect((await service.ended).code).toBe(0);
    await alone.run(['audit', 'export', 'log']);
    const seen = documentOf(await alone.run(['audit', 'verify', 'log', '--json']));
    expect(seen).toMatchObject({ ok: true, first: 1, unsealed: 0 });
  } finally {
    await alone.close();
  }
});

function lines(text: string): Record<string, unknown>[] {
  return text.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : []));
}
