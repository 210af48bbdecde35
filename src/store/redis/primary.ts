/**
 * A group of servers as one plain connection, to the primary that holds our keys. Sentinels know who that is; on a Redis Cluster it is the node
 * with the one slot that all our keys are in. Asked anew with every connection, since a failover ends those to the old primary.
 */
import { messageOf } from '../../errors.ts';
import { sleep } from '../../time.ts';
import { type ConnectorClass, connectorOf, type Opener } from './connector.ts';
import { askForPrimary } from './group.ts';
import { ConnectError, openSocket } from './socket.ts';
import { describeNode, placeOf, type RedisTarget, type ServerGroup } from './target.ts';

/** Between two rounds through all nodes, in ms. */
const PACE_MS = 500;

/** Reads `target` anew for each socket. @throws RekeydError `config` (not a Redis URL) */
export function connectorTo(target: RedisTarget): ConnectorClass {
  if ('group' in target) return connectorOf(() => searching(() => target.group), target.ended);
  placeOf(target);
  const straight = () => ({ open: (signal: AbortSignal) => openSocket(placeOf(target), signal), suits: () => true });
  return connectorOf(straight, target.ended);
}

/** Nodes take turns at being asked, so that one with an old view cannot keep us. */
function searching(group: () => ServerGroup): Opener {
  let turn = 0;
  /** The last problem of each node; none once a connection was made. */
  const problems = new Map<string, string>();
  return {
    // A server that was demoted in between is not the one.
    suits: (role) => role !== 'slave',
    async open(signal, tell) {
      while (!signal.aborted) {
        const now = group();
        const node = now.nodes[turn % now.nodes.length];
        if (node === undefined) throw new TypeError('a group without nodes');
        turn += 1;
        try {
          const at = await askForPrimary(node, now);
          const stream = await openSocket({ at, login: now.login, database: 0, tls: now.tls ?? null }, signal);
          problems.clear();
          return stream;
        } catch (error) {
          // One node alone may not show what is wrong: that it is down, or that the cluster lacks a part without it.
          problems.set(describeNode(node), messageOf(error));
          // Another node may know the way: only when each has failed is there no need to wait.
          const isFinal = error instanceof ConnectError && problems.size === now.nodes.length;
          const obstacle = isFinal ? error.obstacle : 'away';
          if (!signal.aborted) tell(new ConnectError(obstacle, [...problems.values()].join('; ')));
          if (turn % now.nodes.length === 0) await sleep(PACE_MS, signal);
        }
      }
      throw new ConnectError('away', 'Connection is closed.');
    },
  };
}
