/** Groups of servers: a primary that dies with writes that its replica never got, and a cluster that loses the node with our keys. */
import { setTimeout as delay } from 'node:timers/promises';
import { askForPrimary } from '../../../src/store/redis/group.ts';
import type { RedisServer } from '../../support/redis.ts';
import {
  bearSilence,
  REPLICATION_USER,
  type RedisGroup,
  startCluster,
  startSentinelGroup,
  tell,
} from '../../support/redis-ha.ts';
import { until } from '../../support/until.ts';
import { APPS } from '../fleet.ts';
import { type GroupStage, openGroupStage } from '../group-stage.ts';
import { kindOf, type Scene } from '../scenario.ts';

/** A durable write waits for a replica, which needs longer than one server alone. */
const FLEET = { apps: APPS, deployment: { timeout: '3s' } };

/** A group comes back only after some seconds of looking at itself. */
const PATIENCE_MS = 120_000;

/** Nobody takes over but when it is time, however busy this machine is. */
const NEVER_MS = 600_000;
const SOON_MS = 1_000;

/** The replica gets nothing from now on, and what it had asked for is lost with its connection. */
async function leaveBehind({ group, history }: Scene<GroupStage>): Promise<void> {
  history.note({ kind: 'redis', fault: 'the replica lags (0 ms)' });
  await tell(group.primary, 'ACL', 'SETUSER', REPLICATION_USER.username, 'off');
  await tell(group.primary, 'CLIENT', 'KILL', 'TYPE', 'replica');
}

/** The replica takes over, and the old primary comes back to follow it: what only that one had is gone. */
async function failOver({ group, history, watch }: Scene<GroupStage>): Promise<void> {
  const { primary, others } = group;
  const [replica] = others;
  if (replica === undefined) throw new Error('there is no replica');
  history.note({ kind: 'redis', fault: 'failover (0 ms)' });
  await bearSilence(group, SOON_MS);
  await primary.kill();
  // Not sooner: Sentinel ends the connections of the one that it promotes. It tells clients only after a look at it, a second later.
  await until('the replica is the primary', async () =>
    String(await tell(replica, 'INFO', 'replication')).includes('role:master'),
  );
  await watch.attach(replica.socketPath);
  // Sooner, the old primary could be taken for the primary again, and nobody would read along there.
  for (const node of group.group.nodes) {
    await until('every Sentinel knows the new primary', async () => {
      const { port } = await askForPrimary(node, group.group);
      return `${port}` === new URL(replica.url).port;
    });
  }
  await bearSilence(group, NEVER_MS);
  await primary.restart();
}

/** A node comes back, and the cluster with it; the one with our keys is read before anybody may write to it. */
async function comeBack({ group, watch }: Scene<GroupStage>, server: RedisServer): Promise<void> {
  const { primary } = group;
  await server.restart();
  if (server === primary) {
    await tell(primary, 'CONFIG', 'SET', 'cluster-allow-reads-when-down', 'yes');
    await watch.attach();
  }
  await until('the cluster is whole', async () =>
    String(await tell(primary, 'CLUSTER', 'INFO')).includes('cluster_state:ok'),
  );
}

async function startSteadyGroup(): Promise<RedisGroup> {
  const group = await startSentinelGroup({ replicas: 1 });
  await bearSilence(group, NEVER_MS);
  return group;
}

export const sentinel = kindOf<GroupStage>({
  name: 'sentinel',
  open: (place) => openGroupStage(place, { start: startSteadyGroup, replicas: 1, fleet: FLEET }),
  crew: (dice) => ({ size: dice.between(1, 3) }),
  patienceMs: PATIENCE_MS,
  async play(scene) {
    const { chance, ask, emulator, accuse } = scene;
    ask();
    await delay(chance.between(200, 2_000));
    await leaveBehind(scene);
    ask();
    // What was confirmed before may still be sent; then nothing more may be.
    await delay(1_500);
    const patches = () => emulator.log.filter(({ method }) => method === 'PATCH').length;
    const before = patches();
    await delay(chance.between(1_000, 4_000));
    if (patches() > before) accuse('unconfirmed', null, 'a PATCH was sent while no replica confirmed anything');
    await failOver(scene);
    ask();
  },
});

export const cluster = kindOf<GroupStage>({
  name: 'cluster',
  open: (place) => openGroupStage(place, { start: () => startCluster(), replicas: 0, fleet: FLEET }),
  crew: (dice) => ({ size: dice.between(1, 3) }),
  patienceMs: PATIENCE_MS,
  async play(scene) {
    const { chance, ask, group, history } = scene;
    for (const server of [group.primary, chance.pick(group.others), group.primary]) {
      ask();
      await delay(chance.between(200, 1_500));
      const ms = chance.between(100, 3_000);
      history.note({ kind: 'redis', fault: `a node is killed (${ms} ms)` });
      await server.kill();
      await delay(ms);
      await comeBack(scene, server);
    }
  },
});
