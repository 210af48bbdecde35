/**
 * No space left: first where signers find their keys, then where Redis writes, each on a small disk of its own. Where nothing may be mounted, only
 * Redis runs full, of memory.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { canMount } from '../../support/mounting.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import type { Place } from '../stage/testbed.ts';
import { mountSmallDisk, type SmallDisk } from '../trouble/small-disk.ts';
import { lateWrites } from './random.ts';

interface Disks extends Stage {
  /** Null where nothing may be mounted. */
  readonly disks: { readonly keys: SmallDisk; readonly redis: SmallDisk } | null;
  readonly everysec: boolean;
}

const MS = [2_000, 5_000] as const;

async function mounted({ dir, later }: Place, name: string, size: string): Promise<SmallDisk> {
  const disk = await mountSmallDisk(join(dir, name), size);
  later(`small disk for ${name}`, () => disk.unmount());
  return disk;
}

async function fillKeys({ chance, history, remark }: Scene<Disks>, disk: SmallDisk): Promise<void> {
  history.note({ kind: 'worker', worker: 0, what: 'no space for key folders' });
  await disk.fill();
  await delay(chance.between(...MS));
  await disk.empty();
  remark('key folder full');
}

/** With `always` the server ends itself over a write that failed, and is started again; with `everysec` it refuses writes until it can. */
async function fillRedis(scene: Scene<Disks>, disk: SmallDisk): Promise<void> {
  const { chance, history, redis, proxy, watch, everysec, remark } = scene;
  const ms = chance.between(...MS);
  history.note({ kind: 'redis', fault: `disk full (${ms} ms)` });
  await disk.fill();
  await delay(ms);
  if (everysec) await disk.empty();
  else {
    await proxy.cut(async () => {
      await redis.kill();
      await disk.empty();
      await redis.restart();
      await watch.attach();
    });
  }
  remark(`redis disk full (${everysec ? 'everysec' : 'always'})`);
}

async function fillMemory({ chance, history, raw, remark }: Scene<Disks>): Promise<void> {
  const ms = chance.between(...MS);
  history.note({ kind: 'redis', fault: `memory full (${ms} ms)` });
  await raw.config('SET', 'maxmemory', '1mb');
  await delay(ms);
  await raw.config('SET', 'maxmemory', '0');
  remark('redis memory full');
}

export const diskFull = kindOf<Disks>({
  name: 'disk-full',
  async open(place, dice) {
    const everysec = lateWrites(dice) && dice.next() < 0.7;
    const disks = canMount()
      ? { keys: await mounted(place, 'data/keys', '8m'), redis: await mounted(place, 'redis', '32m') }
      : null;
    const parent = disks === null ? {} : { redis: { parent: join(place.dir, 'redis') } };
    return { ...(await openStage(place, { everysec, ...parent })), disks, everysec };
  },
  crew: (dice) => ({ size: dice.between(1, 3) }),
  async play(scene) {
    const { chance, disks } = scene;
    const acts = [
      ...(disks === null ? [] : [() => fillKeys(scene, disks.keys), () => fillRedis(scene, disks.redis)]),
      () => fillMemory(scene),
    ];
    for (const act of acts) {
      scene.ask();
      await delay(chance.between(50, 1_000));
      await act();
      await delay(500);
    }
  },
});
