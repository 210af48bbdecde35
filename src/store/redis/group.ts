/** Asks the members of a group: a Sentinel where its primary is, a cluster node which node has our keys. */
import { Redis } from 'ioredis';
import { messageOf } from '../../errors.ts';
import { connectorOf } from './connector.ts';
import type { Requirement } from './durability.ts';
import { integer, list, text } from './replies.ts';
import { ConnectError, openSocket } from './socket.ts';
import { describeNode, type NodeAddress, type ServerGroup } from './target.ts';

/** How long one node may take to connect or to answer, in ms. */
const NODE_TIMEOUT_MS = 2_000;

/** The primary that holds our keys, in the view of `node`. @throws ConnectError naming `node` */
export function askForPrimary(node: NodeAddress, group: ServerGroup): Promise<NodeAddress> {
  return askNode(node, group, (redis) =>
    group.kind === 'cluster' ? slotOwner(redis, node, group.key) : watched(redis, group),
  );
}

/** What each node says of its group, for `doctor`. */
export async function inspectGroup(group: ServerGroup): Promise<readonly Requirement[]> {
  return Promise.all(group.nodes.map((node) => inspectNode(node, group)));
}

async function inspectNode(node: NodeAddress, group: ServerGroup): Promise<Requirement> {
  const name = `${group.kind === 'cluster' ? 'node' : 'Sentinel'} ${describeNode(node)}`;
  try {
    const primary = await askForPrimary(node, group);
    const state =
      group.kind === 'cluster'
        ? 'the cluster is whole'
        : await askNode(node, group, (redis) => quorum(redis, group.name));
    return { name, ok: true, detail: `the primary is ${describeNode(primary)}; ${state}`, fix: null };
  } catch (error) {
    return {
      name,
      ok: false,
      detail: messageOf(error),
      fix: 'Start it, or correct or remove its address in the config.',
    };
  }
}

async function quorum(redis: Redis, name: string): Promise<string> {
  return text(await redis.call('SENTINEL', 'CKQUORUM', name));
}

async function watched(redis: Redis, { name }: Extract<ServerGroup, { kind: 'sentinels' }>): Promise<NodeAddress> {
  const reply: unknown = await redis.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name);
  if (reply === null) throw new Error(`this Sentinel watches over no primary named ${name}`);
  const [host, port] = list(reply);
  return { host: text(host), port: integer(port) };
}

async function slotOwner(redis: Redis, node: NodeAddress, key: string): Promise<NodeAddress> {
  // Until it is whole again, every node refuses every command.
  if (!text(await redis.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) {
    throw new Error('the cluster lacks a part (cluster_state is not ok): CLUSTER NODES says which');
  }
  const slot = integer(await redis.call('CLUSTER', 'KEYSLOT', key));
  for (const range of list(await redis.call('CLUSTER', 'SLOTS'))) {
    const [first, last, primary] = list(range);
    if (slot < integer(first) || slot > integer(last)) continue;
    const [host, port] = list(primary);
    // Nodes that do not know their own name answer with none: it is the one they were asked by.
    return { host: typeof host === 'string' && host !== '' ? host : node.host, port: integer(port) };
  }
  throw new Error(`no node of the cluster serves slot ${slot}, where rekeyd keeps its keys`);
}

/** One question to one node of the config, over a connection of its own. @throws ConnectError naming the node */
async function askNode<T>(node: NodeAddress, group: ServerGroup, ask: (redis: Redis) => Promise<T>): Promise<T> {
  const place = { at: node, login: loginAt(group), database: 0, tls: group.tls ?? null };
  const open = (signal: AbortSignal) => openSocket(place, signal, NODE_TIMEOUT_MS);
  const redis = new Redis({
    Connector: connectorOf(() => ({ open, suits: () => true })),
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    retryStrategy: null,
    commandTimeout: NODE_TIMEOUT_MS,
    disconnectTimeout: 100,
  });
  let cause: unknown = null;
  redis.on('error', (error) => {
    cause = error;
  });
  try {
    await redis.connect();
    return await ask(redis);
  } catch (error) {
    const why = cause ?? error;
    throw new ConnectError(
      why instanceof ConnectError ? why.obstacle : 'away',
      `${describeNode(node)}: ${messageOf(why)}`,
    );
  } finally {
    redis.disconnect();
  }
}

/** Sentinels have a password of their own. */
function loginAt(group: ServerGroup) {
  if (group.kind === 'cluster') return group.login;
  return group.sentinelPassword === undefined ? {} : { password: group.sentinelPassword };
}
