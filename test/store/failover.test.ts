/** What the store makes of a group of servers whose primary changes. */
import { expect, it, onTestFinished } from 'vitest';
import { recordKey } from '../../src/store/keys.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { checkDurability, type DurabilityOptions } from '../../src/store/redis/durability.ts';
import type { ServerGroup } from '../../src/store/redis/target.ts';
import { until } from '../support/patient.ts';
import { NO_WAITAOF, redisKinds, waitaofKinds } from '../support/redis.ts';
import { REPLICATION_USER, type RedisGroup, startCluster, startSentinelGroup, tell } from '../support/redis-ha.ts';
import { firstCommit, open, ref } from './fixtures.ts';

const [alpha, beta] = [ref('alpha'), ref('beta')];

async function started(start: Promise<RedisGroup>): Promise<RedisGroup> {
  const group = await start;
  onTestFinished(() => group.stop());
  return group;
}

async function connected(group: ServerGroup) {
  const redis = await connectRedis({ group }, { name: 'test', connectTimeout: 20_000 });
  onTestFinished(() => redis.disconnect());
  return redis;
}

async function opened(group: ServerGroup, options: DurabilityOptions) {
  const { store, close } = await open({ group }, { group: group.kind, ...options });
  onTestFinished(close);
  return store;
}

async function untilPromoted(server: RedisGroup['primary'] | undefined): Promise<void> {
  if (server === undefined) throw new Error('there is no such replica');
  const role = async () => String(await tell(server, 'INFO', 'replication'));
  await until('the replica is the primary', async (saw) => saw(await role()).includes('role:master'));
}

it.each([
  { replicas: 0, beta: 'is acknowledged, and lost' },
  { replicas: 1, beta: 'is not acknowledged' },
])('a write that no replica has when the primary dies $beta, with replicas: $replicas', async ({ replicas }) => {
  const { group, primary, others } = await started(startSentinelGroup({ replicas: 1 }));
  const redis = await connected(group);
  const strict = checkDurability(redis, { mode: 'strict', replicas, group: group.kind });
  if (replicas > 0) await strict;
  else
    await expect(strict).rejects.toMatchObject({ code: 'redis_unsafe', message: expect.stringContaining('replicas') });

  const store = await opened(group, { mode: 'relaxed', replicas });
  await store.commit(firstCommit(alpha, { durable: true }));
  await redis.wait(1, 0);
  await tell(primary, 'ACL', 'SETUSER', REPLICATION_USER.username, 'off');
  await tell(primary, 'CLIENT', 'KILL', 'TYPE', 'replica');
  const impatient = await opened(group, { mode: 'relaxed', replicas, timeout: 200 });
  const commit = impatient.commit(firstCommit(beta, { durable: true }));
  if (replicas > 0) await expect(commit).rejects.toMatchObject({ code: 'not_durable' });
  else await commit;
  expect(await store.load(beta)).not.toBeNull();

  await primary.kill();
  await untilPromoted(others[0]);
  expect(await store.load(alpha)).toMatchObject({ version: 1 });
  expect(await store.load(beta)).toBeNull();
  expect(await store.auditSize()).toBe(1);
  // The worker that was told so knows better than to go on with what is left.
  if (replicas === 0) await expect(impatient.load(alpha)).rejects.toMatchObject({ code: 'store_lost' });
});

it('a durable commit whose node loses its keys before WAITAOF answers is sent again, whole, to the one that has them', async ({
  skip,
}) => {
  skip(!waitaofKinds.includes(redisKinds[0] ?? 'redis'), NO_WAITAOF);
  const { group, primary, others } = await started(startCluster({ replicas: 1 }));
  const store = await opened(group, { mode: 'relaxed', timeout: 60_000 });
  await tell(primary, 'CONFIG', 'SET', 'appendfsync', 'no'); // nothing reaches that disk from now on
  const commit = store.commit(firstCommit(alpha, { durable: true }));
  await until('it is written', () => store.load(alpha));
  await until('the replica has it', async () => {
    const info = String(await tell(primary, 'INFO', 'replication'));
    const [, ahead] = /master_repl_offset:(\d+)/.exec(info) ?? [];
    const [, behind] = /slave0:.*offset=(\d+)/.exec(info) ?? [];
    return ahead === behind;
  });
  const replica = others.at(-1);
  if (replica !== undefined) await tell(replica, 'CLUSTER', 'FAILOVER', 'TAKEOVER');
  await commit;
  await untilPromoted(replica);
  expect(await store.load(alpha)).toMatchObject({ version: 1 });
  expect(await store.auditSize()).toBe(1);
  await store.commit(firstCommit(beta, { durable: true }));
  expect(await tell(replica ?? primary, 'EXISTS', recordKey(beta))).toBe(1);
});

it('signs in to Sentinels and servers with their own passwords, and says what they refuse', async () => {
  const { group } = await started(startSentinelGroup({ replicas: 0 }));
  if (group.kind !== 'sentinels') throw new Error('not Sentinels');
  for (const { host, port } of group.nodes) {
    await tell({ url: `redis://${host}:${port}` }, 'ACL', 'SETUSER', 'default', 'resetpass', '>hidden');
  }
  const redis = await connected({ ...group, sentinelPassword: 'hidden', login: REPLICATION_USER });
  expect(await redis.acl('WHOAMI')).toBe(REPLICATION_USER.username);

  const refusals: [ServerGroup, RegExp][] = [
    [group, /NOAUTH/],
    [{ ...group, sentinelPassword: 'wrong-one' }, /WRONGPASS/],
    [{ ...group, sentinelPassword: 'hidden', name: 'another' }, /no primary named another/],
    [{ ...group, sentinelPassword: 'hidden', login: { ...REPLICATION_USER, password: 'wrong-one' } }, /WRONGPASS/],
  ];
  for (const [refused, message] of refusals) {
    const error: unknown = await connectRedis({ group: refused }, { name: 'test', connectTimeout: 1_000 }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'redis_unreachable', message: expect.stringMatching(message) });
    expect(String(error)).not.toMatch(/hidden|wrong-one/);
  }
});
