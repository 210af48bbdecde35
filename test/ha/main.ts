/**
 * How long durable writes stand still when a part of a group of servers goes away: `node test/ha/main.ts`, a few minutes. The waits are
 * those of test/support/redis-ha.ts: Sentinel's down-after-milliseconds and the cluster's cluster-node-timeout are 1 s.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { firstCommit, open, ref } from '../store/fixtures.ts';
import { type RedisGroup, startCluster, startSentinelGroup } from '../support/redis-ha.ts';

const ROUNDS = 3;

interface Scenario {
  readonly what: string;
  readonly start: () => Promise<RedisGroup>;
  readonly replicas: number;
  readonly fail: (group: RedisGroup) => Promise<unknown>;
}

const restarted = async (server: RedisGroup['primary'] | undefined, awayMs: number) => {
  await server?.kill();
  await delay(awayMs);
  await server?.restart();
};

const scenarios: readonly Scenario[] = [
  {
    what: 'Sentinel: the primary is killed',
    start: () => startSentinelGroup({ replicas: 2 }),
    replicas: 1,
    fail: ({ primary }) => primary.kill(),
  },
  {
    what: 'Sentinel: a replica is killed, the other one confirms',
    start: () => startSentinelGroup({ replicas: 2 }),
    replicas: 1,
    fail: async ({ others }) => others[0]?.kill(),
  },
  {
    what: 'Cluster: the node with our keys is killed, its replica takes over',
    start: () => startCluster({ replicas: 2 }),
    replicas: 1,
    fail: ({ primary }) => primary.kill(),
  },
  {
    what: 'Cluster: the node with our keys is restarted at once (no replica)',
    start: () => startCluster(),
    replicas: 0,
    fail: ({ primary }) => restarted(primary, 0),
  },
  {
    what: 'Cluster: another node is away for 5 s (no replica)',
    start: () => startCluster(),
    replicas: 0,
    fail: ({ others }) => restarted(others[0], 5_000),
  },
];

/** The longest time between two acknowledged writes, in ms, from just before the failure until writes flow again after all of it. */
async function standstill({ start, replicas, fail }: Scenario): Promise<number> {
  const group = await start();
  const { store, close } = await open({ group: group.group }, { replicas, group: group.group.kind });
  let longest = 0;
  let last = performance.now();
  let count = 0;
  let stopped = false;
  async function write(): Promise<void> {
    while (!stopped) {
      // Not confirmed in time: the next one may be.
      const commit = store.commit(firstCommit(ref(`c${count}`), { durable: true })).catch(() => null);
      if ((await commit) !== null) {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }
      count += 1;
    }
  }
  const writing = write();
  await delay(500);
  longest = 0;
  const failed = performance.now();
  await fail(group);
  while (last < failed + 8_000) await delay(50);
  stopped = true;
  await writing;
  await close();
  await group.stop();
  return longest;
}

for (const scenario of scenarios) {
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await standstill(scenario));
  const seconds = rounds.sort((a, b) => a - b).map((ms) => (ms / 1000).toFixed(1));
  console.log(`${scenario.what}: median ${seconds[Math.floor(ROUNDS / 2)]} s (${seconds.join(', ')})`);
}
