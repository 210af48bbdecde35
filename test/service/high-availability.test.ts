/** A group of Redis servers loses its primary, or a part, in the middle of rotations: the service goes on by itself and nothing is lost. */

import { expect, onTestFinished, test } from 'vitest';
import { isChange } from '../emulator/log.ts';
import { type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { until } from '../support/patient.ts';
import { OLD_KEY_LEAVES, watchFor } from '../support/points.ts';
import { type RedisGroup, startCluster, startSentinelGroup } from '../support/redis-ha.ts';
import { expectSound } from '../support/sound.ts';

const APPS = [
  { ...PEM_APP, policy: { overlap: '1s' } },
  { ...KID_APP, policy: { strategy: 'overlap', propagation: '1s', overlap: '1s' } },
];

interface Case {
  readonly what: string;
  readonly start: () => Promise<RedisGroup>;
  readonly replicas: number;
  /** While keys are being published. */
  readonly early: (group: RedisGroup) => Promise<void>;
  /** While old keys are on their way out. */
  readonly late: (group: RedisGroup) => Promise<void>;
}

const cases: readonly Case[] = [
  {
    what: 'Sentinel: the primary is killed, and comes back as a replica',
    start: () => startSentinelGroup({ replicas: 2 }),
    replicas: 1,
    early: ({ primary }) => primary.kill(),
    late: ({ primary }) => primary.restart(),
  },
  {
    what: 'a cluster of three: a node without our keys is restarted, then the one that has them',
    start: () => startCluster(),
    replicas: 0,
    early: ({ others }) => restart(others[0]),
    late: ({ primary }) => restart(primary),
  },
  {
    what: 'a cluster: the node with our keys is killed, and comes back as the replica of its replica',
    start: () => startCluster({ replicas: 2 }),
    replicas: 1,
    early: ({ primary }) => primary.kill(),
    late: ({ primary }) => primary.restart(),
  },
];

async function restart(server: RedisGroup['primary'] | undefined): Promise<void> {
  await server?.kill();
  await server?.restart();
}

test.each(cases)('$what', async ({ start, replicas, early, late }) => {
  const group = await start();
  onTestFinished(() => group.stop());
  const fleet = await startFleet({
    apps: APPS,
    config: { redis: { ...group.section, replicas } },
    deployment: { timeout: '3s' },
  });
  const clients = await Promise.all(APPS.flatMap((app) => [fleet.managed(app), fleet.managed(app)]));
  const leaving = watchFor(OLD_KEY_LEAVES);
  await fleet.start({ lockMs: 3_000, hooks: leaving.hooks });
  const streams = await Promise.all(clients.map((client) => startLogins(client, { ...fleet, everyMs: 60 })));
  const rotations = await rotateAll(fleet, clients);
  await until('the first PATCH', () => fleet.emulator.log.some(isChange));
  await early(group);
  await until('an old key is on its way out', leaving.isPassed);
  await late(group);
  for (const client of clients) await fleet.reached(client, rotations.get(client.ref) ?? '');
  for (const stream of streams) expect((await stream.stop()).refused).toEqual([]);
  await expectSound(fleet, clients);
});

async function rotateAll(fleet: Fleet, clients: readonly FleetClient[]): Promise<ReadonlyMap<string, string>> {
  const { rotations } = await fleet.request({ select: { all: true } });
  expect(rotations).toHaveLength(clients.length);
  return new Map(rotations.map(({ client, id }) => [client, id]));
}
