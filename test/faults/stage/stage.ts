/** A testbed whose store is one server behind a proxy that can be cut, on a disk that can lose what nobody confirmed. */
import { Redis } from 'ioredis';
import { type RedisServer, type RedisSetup, startRedis, waitaofKinds } from '../../support/redis.ts';
import { type Disk, watchDisk } from '../trouble/disk.ts';
import { type FaultyProxy, startProxy } from '../trouble/proxy.ts';
import { APPS, type FleetSetting } from './apps.ts';
import { buildTestbed, type Place, type Testbed } from './testbed.ts';

export interface Stage extends Testbed {
  readonly redis: RedisServer;
  readonly disk: Disk;
  readonly proxy: FaultyProxy;
}

export interface StageSetting {
  /** `appendfsync everysec`, where only what was asked about is known to be on disk; else `always`. */
  readonly everysec?: boolean;
  readonly fleet?: FleetSetting;
  readonly redis?: RedisSetup;
}

export async function openStage(place: Place, setting: StageSetting = {}): Promise<Stage> {
  const { everysec = false, fleet = { apps: APPS } } = setting;
  const redis = await startRedis({ appendfsync: everysec ? 'everysec' : 'always', ...setting.redis });
  place.later('redis', () => redis.stop());
  const disk = watchDisk(redis, everysec);
  place.later('disk', () => disk.close());
  let heard = () => {};
  const proxy = await startProxy(Number(new URL(redis.url).port), () => {
    disk.confirmed();
    heard();
  });
  place.later('proxy', () => proxy.close());
  const testbed = await buildTestbed(place, fleet, {
    section: { url: `unix://${redis.socketPath}` },
    target: { socketPath: redis.socketPath },
    connect: (options) => new Redis({ path: redis.socketPath, ...options }),
    socketPath: redis.socketPath,
    async open() {
      await settle({ redis, disk });
      return { url: proxy.url };
    },
  });
  // The time is cut off to milliseconds, and what it confirms was written before it.
  if (everysec) heard = () => testbed.history.note({ kind: 'durable' }, Date.now() + 1);
  heard();
  return { ...testbed, redis, disk, proxy };
}

/** Until all that was written is on disk. Commands do not go through the proxy: what they were confirmed is not known to the disk without this. */
export async function settle({ redis, disk }: Pick<Stage, 'redis' | 'disk'>): Promise<void> {
  if (waitaofKinds.includes(redis.kind)) {
    const connection = new Redis({ path: redis.socketPath });
    await connection.call('WAITAOF', 1, 0, 10_000);
    connection.disconnect();
  }
  disk.confirmed();
}
