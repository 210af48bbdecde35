/** Redis alone: killed, without power, standing still and cut off, while keys are made and published. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Kind, Plot, Scene } from '../stage/scenario.ts';
import { kindOf } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import { lateWrites } from './random.ts';

type Act = (scene: Scene<Stage>, ms: number) => Promise<unknown>;

const ACTS: Readonly<Record<string, Act>> = {
  kill: ({ redis, proxy, watch }, ms) =>
    proxy.cut(async () => {
      await redis.kill();
      await delay(ms);
      await redis.restart();
      await watch.attach();
    }),
  'power cut': ({ disk, proxy, watch, history }, ms) =>
    proxy.cut(async () => {
      const lost = await disk.powerCut(() => delay(ms));
      history.note({ kind: 'redis', fault: `the power cut lost ${lost} bytes` });
      await watch.attach();
    }),
  async pause({ redis }, ms) {
    redis.pause();
    await delay(ms);
    redis.resume();
  },
  cut: ({ proxy }, ms) => proxy.cut(() => delay(ms)),
  stall: ({ proxy }, ms) => proxy.stall(ms),
};

/** How long the shortest and the longest of them take. */
const MS = [1_000, 5_000] as const;

async function breakRedis(scene: Scene<Stage>, name: string, ms: number): Promise<void> {
  scene.history.note({ kind: 'redis', fault: `${name} (${ms} ms)` });
  await ACTS[name]?.(scene, ms);
}

export const redis = kindOf({
  name: 'redis',
  open: (place, dice) => openStage(place, { everysec: lateWrites(dice) }),
  crew: (dice) => ({ size: dice.between(1, 3) }),
  async play(scene) {
    const { chance } = scene;
    for (const name of shuffled(Object.keys(ACTS), () => chance.next())) {
      scene.ask();
      // Sometimes before the first key is stored, sometimes after the last old one is gone.
      await delay(chance.between(50, 2_000));
      await breakRedis(scene, name, chance.between(...MS));
    }
  },
});

function shuffled<T>(from: readonly T[], next: () => number): readonly T[] {
  return from
    .map((item) => [next(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}

/** Of the longest cut, and some more: a request may have come just before it. */
const PATIENCE_MS = 15 * 60_000;

/** One long cut, in real time; seed N is N minutes of it. */
const outage: Plot<Stage> = {
  name: 'outage',
  open: (place) => openStage(place, { everysec: false }),
  crew: () => ({ size: 2 }),
  patienceMs: PATIENCE_MS,
  // Logins go on all the time, and there are ten minutes of them.
  loginEveryMs: 2_000,
  async play(scene) {
    scene.ask();
    await delay(1_500);
    const minutes = scene.seed;
    await breakRedis(scene, 'cut', minutes * 60_000);
    scene.remark(`cut for ${minutes} min`);
    scene.ask();
  },
};

export const redisOutage: Kind = kindOf(outage);
