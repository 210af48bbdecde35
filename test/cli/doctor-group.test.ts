import { expect, onTestFinished, test } from 'vitest';
import { until } from '../support/patient.ts';
import { type RedisGroup, startCluster, startSentinelGroup, tell } from '../support/redis-ha.ts';
import { documentOf, openWorld } from './fixture.ts';

interface Told {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly fix: string | null;
}

async function examined(
  group: RedisGroup,
  redis: object,
  top: object = {},
): Promise<{ code: number | null; told: Told[] }> {
  const world = await openWorld({ redis: { ...group.section, ...redis }, ...top });
  try {
    const ended = await world.run(['doctor', '--json']);
    const { checks } = documentOf(ended);
    return { code: ended.code, told: checks.filter(({ name }: Told) => name.startsWith('redis')) };
  } finally {
    await world.close();
  }
}

test('Sentinels: who answers, whom they name, and whether a failover would lose a write', async () => {
  const group = await startSentinelGroup({ replicas: 1 });
  onTestFinished(() => group.stop());
  const [bare, borne, safe, wanting] = await Promise.all([
    examined(group, {}),
    examined(group, {}, { durability: 'relaxed' }),
    examined(group, { replicas: 1 }),
    examined(group, { replicas: 2 }),
  ]);
  const nodes = safe.told.filter(({ name }) => name.startsWith('redis Sentinel 127.0.0.1:'));
  expect(nodes.map(({ ok, detail }) => [ok, detail])).toEqual(
    [1, 2, 3].map(() => [true, expect.stringMatching(/^the primary is 127\.0\.0\.1:\d+; OK 3 usable Sentinels/)]),
  );
  const fix = expect.stringContaining('Set redis.replicas');
  expect(bare.code).toBe(1);
  expect(bare.told).toContainEqual(expect.objectContaining({ name: 'redis failover', ok: false, fix }));
  expect(borne.code).toBe(0);
  expect(borne.told).toContainEqual(expect.objectContaining({ name: 'redis failover', ok: true, fix }));
  expect(safe.code).toBe(0);
  expect(safe.told).toContainEqual(expect.objectContaining({ name: 'redis replicas', ok: true, fix: null }));
  expect(wanting.code).toBe(1);
  expect(wanting.told).toContainEqual(
    expect.objectContaining({
      name: 'redis replicas',
      ok: false,
      detail: '1 connected, and 2 must confirm a write before it counts',
    }),
  );
});

test('a cluster: which nodes answer, who has the keys, and a part that is missing', async () => {
  const group = await startCluster();
  onTestFinished(() => group.stop());
  const { port } = new URL(group.primary.url);
  const whole = await examined(group, {});
  expect(whole.code).toBe(0);
  const nodes = whole.told.filter(({ name }) => name.startsWith('redis node 127.0.0.1:'));
  expect(nodes.map(({ detail }) => detail)).toEqual(
    [1, 2, 3].map(() => `the primary is 127.0.0.1:${port}; the cluster is whole`),
  );
  expect(whole.told).toContainEqual(expect.objectContaining({ name: 'redis failover', ok: true, fix: null }));

  const direct = await examined(group, {}, { redis: { url: group.primary.url } });
  expect(direct.told).toContainEqual(
    expect.objectContaining({ name: 'redis role', ok: false, fix: expect.stringContaining('redis.cluster') }),
  );

  const [other] = group.others;
  await other?.kill();
  await until('the cluster misses it', async () =>
    String(await tell(group.primary, 'CLUSTER', 'INFO')).includes('cluster_state:fail'),
  );
  const broken = await examined(group, {});
  expect(broken.code).toBe(3);
  const unreachable = expect.stringContaining('cluster_state is not ok');
  expect(broken.told).toContainEqual(expect.objectContaining({ name: 'redis', ok: false, detail: unreachable }));
  const refused = new RegExp(`^127\\.0\\.0\\.1:${new URL(other?.url ?? '').port}: connect ECONNREFUSED`);
  expect(broken.told).toContainEqual(
    expect.objectContaining({
      ok: false,
      detail: expect.stringMatching(refused),
      fix: expect.stringContaining('Start it'),
    }),
  );
});
