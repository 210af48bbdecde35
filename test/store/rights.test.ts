/** The smallest Redis users: one for a worker, one for a producer that may only enqueue. Both are documented, and tried here. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { CONTROL } from '../../jobs/inboxes.ts';
import { bullConnection } from '../../jobs/queues.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { missingRights, workerAcl } from '../../src/store/redis/rights.ts';
import { documentedAcl } from '../support/documented.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';

const documented = (user: string) => documentedAcl(user === 'producer' ? 'queue.md' : 'operations.md', user);

let server: RedisServer;
let operator: Redis;

beforeAll(async () => {
  server = await startRedis();
  operator = await connectRedis({ socketPath: server.socketPath }, { name: 'operator' });
});
afterAll(async () => {
  operator.disconnect();
  await server.stop();
});

/** @returns what connects as a user with these rights */
async function withUser(redis: Redis, url: string, username: string, rules: readonly string[]) {
  await redis.acl('SETUSER', username, 'reset', 'on', '>PASSWORD', ...rules);
  return { url, login: { username, password: 'PASSWORD' } };
}

test('the worker of the document has the rights that doctor tries, and no others', () => {
  expect(documented('rekeyd').sort()).toEqual(workerAcl('{rekeyd}').split(' ').sort());
});

/** What is no command of Redis, and what only `redis.cluster` and `redis.sentinels` need. */
const OTHERS = ['call', 'connect', 'disconnect', 'duplicate', 'off', 'on', 'once', 'cluster', 'sentinel'];

/** Commands that the store uses, in scripts and beside them, and that a user with these rules may not. The embedded server asks for no password. */
function deniedBy(rules: readonly string[]): readonly string[] {
  const store = join(import.meta.dirname, '../../src/store');
  const files = readdirSync(store, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && !name.startsWith('embedded'),
  );
  const text = files.map((name) => readFileSync(join(store, name), 'utf8')).join('\n');
  const used = [...text.matchAll(/redis\.call\('([A-Z]+)'|\bredis\.([a-z]+)\(/g)].map(
    ([, script = '', method = '']) => script.toLowerCase() || method,
  );
  const allowed = rules.map((rule) => rule.replace(/^\+(\w+).*/, '$1'));
  return [...new Set(used)].filter((name) => !allowed.includes(name) && !OTHERS.includes(name)).sort();
}

test('these rights are enough for every command of the store', () => {
  const rules = workerAcl('{rekeyd}').split(' ');
  expect(deniedBy(rules)).toEqual([]);
  const fewer = rules.filter((rule) => !['+smismember', '+xtrim', '+config|get'].includes(rule));
  expect(deniedBy(fewer)).toEqual(['config', 'smismember', 'xtrim']);
});

test('each right that is missing is found, and nothing is changed', async () => {
  const rules = workerAcl('{rekeyd}').split(' ');
  const target = await withUser(operator, server.url, 'tried', rules);
  expect(await missingRights(target, '{rekeyd}')).toEqual({ commands: [], keys: false });
  for (const rule of rules.filter((rule) => rule.startsWith('+'))) {
    const name = rule.slice(1);
    // A connection cannot even be made without it, or it is tried together with MULTI.
    if (['exec'].includes(name)) continue;
    await operator.acl('SETUSER', 'tried', `-${name}`);
    const { commands } = await missingRights(target, '{rekeyd}');
    expect(commands, name).toEqual(name === 'multi' ? ['multi', 'exec', 'discard'] : [name]);
    await operator.acl('SETUSER', 'tried', rule);
  }
  expect(await missingRights(target, '{other}')).toMatchObject({ keys: true });
  expect(await operator.dbsize()).toBe(0);
});

test('a worker with only these rights rotates on schedule and on demand', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const redis = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
  onTestFinished(() => redis.disconnect());
  // The test's own connections have other rights than the worker's.
  await redis.acl('SETUSER', 'rekeyd', 'reset', 'on', '>PASSWORD', ...documented('rekeyd'));
  await redis.acl('LOG', 'RESET');
  const url = fleet.redis.url.replace('//', '//rekeyd:PASSWORD@');
  const config = await fleet.configOf({ ...fleet.file, redis: { url: 'env:REDIS_URL' } }, { REDIS_URL: url });
  await fleet.start({ schedule: true }, config);
  await fleet.reached(client, await fleet.rotate(client));
  await fleet.queues.addUpkeep('sweep', { v: 1, policy: PEM_APP.slug, slot: 's' }, 'a-sweep');
  await fleet.reached(client, await fleet.rotate(client, { compromised: true }));
  const everybody = await fleet.request({ select: { all: true }, compromised: true });
  await fleet.reached(client, everybody.rotations[0]?.id ?? '');
  expect(await redis.acl('LOG')).toEqual([]);
});

test('a producer with only these rights enqueues a request, and may do nothing else', async () => {
  const target = await withUser(operator, server.url, 'producer', documented('producer'));
  const queue = new Queue(CONTROL, { connection: bullConnection(target), prefix: '{rekeyd}' });
  onTestFinished(() => queue.close());
  await operator.acl('LOG', 'RESET');
  const request = { v: 1, select: { all: true }, reason: 'a test', actor: 'test' };
  const job = await queue.add('request', request, { priority: 10 });
  await queue.add('request', request);
  expect(await operator.zcard('{rekeyd}:control:prioritized')).toBe(1);
  expect(await operator.llen('{rekeyd}:control:wait')).toBe(1);
  expect(await operator.acl('LOG')).toEqual([]);
  const redis = await connectRedis(target, { name: 'test' });
  onTestFinished(() => redis.disconnect());
  await expect(redis.get('{rekeyd}:store:id')).rejects.toThrow(/NOPERM/);
  await expect(redis.hgetall(`{rekeyd}:control:${job.id}`)).rejects.toThrow(/NOPERM/);
  await expect(redis.del(`{rekeyd}:control:${job.id}`)).rejects.toThrow(/NOPERM/);
});
