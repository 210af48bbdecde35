/** Groups of servers: a primary that dies with writes that its replica never got, and a cluster that loses the node with our keys. */
import { setTimeout as delay } from 'node:timers/promises';
import { askForPrimary } from '../../../src/store/redis/group.ts';
import { until } from '../../support/patient.ts';
import type { RedisServer } from '../../support/redis.ts';
import {
  bearSilence,
  REPLICATION_USER,
  type RedisGroup,
  startCluster,
  startSentinelGroup,
  tell,
} from '../../support/redis-ha.ts';
import { APPS } from '../stage/apps.ts';
import { type GroupStage, openGroupStage } from '../stage/group-stage.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';

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
  // The time is cut off to milliseconds, and what was confirmed before was written before this.
  history.note({ kind: 'unconfirmed' }, Date.now() + 1);
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
  history.note({ kind: 'confirms' });
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
    const { chance, ask } = scene;
    ask();
    await delay(chance.between(200, 2_000));
    await leaveBehind(scene);
    ask();
    await delay(chance.between(2_500, 5_500));
    await failOver(scene);
    ask();
  },
});

/** Where the first worker stands still, with a commit in its hands. */
const HELD_AT = ['generate:before commit', 'deliver:before commit', 'patch:intent:before commit'];

/** After so many holds nobody is stopped any more. */
const HOLDS = 2;

interface Writers extends GroupStage {
  /** Who holds, and what the record of that client was by then. */
  readonly held: { readonly ref: string; readonly version: number }[];
}

/**
 * A primary dies with commits that its replica never got, and a worker that builds on them stands still meanwhile. Another one goes on from what the replica
 * has, until it is as far. Then the first one comes back with its commit, for a record that has as many changes as it knows of, and is another one.
 */
export const writers = kindOf<Writers>({
  name: 'writers',
  async open(place) {
    const stage = await openGroupStage(place, { start: startSteadyGroup, replicas: 1, fleet: FLEET });
    return { ...stage, held: [] };
  },
  crew(dice, { held }) {
    const point = dice.pick(HELD_AT);
    const isHeld = () => held.length < HOLDS;
    return { size: 2, sentences: () => (isHeld() ? [{ point, nth: dice.between(1, 3), deed: 'hold' as const }] : []) };
  },
  patienceMs: PATIENCE_MS,
  async play(scene) {
    const { ask, pool, raw, history, held, remark } = scene;
    const versionOf = (ref: string) => raw.hget(`{rekeyd}:store:client:${ref}`, 'version').then(Number);
    let isOver = false;
    scene.onConfession(({ ref }) => {
      const commits = history.events.filter((event) => event.kind === 'commit' && event.ref === ref);
      const last = commits.at(-1);
      held.push({ ref, version: last?.kind === 'commit' ? Number(last.version) : 0 });
      if (isOver) pool.goOn();
    });
    await leaveBehind(scene);
    ask();
    const first = await until('a worker stands still', () => held[0]);
    await failOver(scene);
    ask();
    // Where both hold, or the job of that client is still the first one's, nobody gets as far before it goes on.
    await until(
      'another worker is as far',
      async (saw) => saw(await versionOf(first.ref)) >= first.version,
      15_000,
    ).catch(() => remark('nobody came as far'));
    isOver = true;
    pool.goOn();
    await ask();
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
