/** A testbed whose store is a group of servers. Nothing stands between them and the workers: the group says itself where to go. */
import { Redis } from 'ioredis';
import type { RedisGroup } from '../../support/redis-ha.ts';
import type { FleetSetting } from './apps.ts';
import { buildTestbed, type Patience, type Place, type Testbed } from './testbed.ts';

export interface GroupStage extends Testbed {
  readonly group: RedisGroup;
}

export interface GroupSetting {
  readonly start: () => Promise<RedisGroup>;
  /** How many replicas have to confirm what is to be durable. */
  readonly replicas: number;
  readonly fleet: FleetSetting;
}

export async function openGroupStage(place: Place, { start, replicas, fleet }: GroupSetting): Promise<GroupStage> {
  const group = await start();
  place.later('redis group', () => group.stop());
  const section = { ...group.section, replicas };
  const testbed = await buildTestbed(place, fleet, {
    section,
    target: { group: group.group },
    connect: (options) => connect(group, options),
    socketPath: group.primary.socketPath,
    open: async () => section,
  });
  return { ...testbed, group };
}

/** To the server that holds the keys: in a cluster without replicas that is always the same one. */
function connect({ group, primary }: RedisGroup, options: Patience): Redis {
  if (group.kind === 'cluster') return new Redis({ path: primary.socketPath, ...options });
  const sentinels = group.nodes.map(({ host, port }) => ({ host, port }));
  return new Redis({
    sentinels,
    name: group.name,
    ...options,
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
}
