/** Who is told that a rotation will happen, and when. */
import { expect, it, onTestFinished } from 'vitest';
import { startRotation } from '../../jobs/start.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { checkDurability } from '../../src/store/redis/durability.ts';
import { openStore } from '../../src/store/store.ts';
import { client, OPERATOR, POLICY, REF } from '../core/support.ts';
import { REPLICATION_USER, startSentinelGroup, tell } from '../support/redis-ha.ts';

it('a request that joins a rotation which no replica has yet is not acknowledged either', {
  timeout: 60_000,
}, async () => {
  const { group, primary, stop } = await startSentinelGroup({ replicas: 1 });
  onTestFinished(stop);
  const redis = await connectRedis({ group }, { name: 'test', connectTimeout: 20_000 });
  onTestFinished(() => redis.disconnect());
  const durability = await checkDurability(redis, { mode: 'strict', replicas: 1, group: group.kind, timeout: 200 });
  const store = openStore(redis, durability);
  onTestFinished(() => store.close());
  const ask = (request: string) =>
    startRotation(store, REF, { client: client(), readAt: 0 }, POLICY, {
      ...OPERATOR,
      request,
      compromised: null,
      id: 'r1',
    });

  await tell(primary, 'ACL', 'SETUSER', REPLICATION_USER.username, 'off');
  await tell(primary, 'CLIENT', 'KILL', 'TYPE', 'replica');
  await expect(ask('one')).rejects.toMatchObject({ code: 'not_durable' });
  await expect(ask('two')).rejects.toMatchObject({ code: 'not_durable' });
  await tell(primary, 'ACL', 'SETUSER', REPLICATION_USER.username, 'on');
  await expect.poll(() => ask('three').catch(() => null), { timeout: 30_000 }).toBe('r1');
});
