/** Workers are killed at any moment, faster than a rotation takes, and jobs lose their locks. */
import { setTimeout as delay } from 'node:timers/promises';
import { kindOf } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';
import { loseLock } from '../trouble/chaos.ts';
import { lateWrites } from './random.ts';

const KILLS = 36;

/** As long as it may take on a busy machine to start so many workers. */
const KILLING_MS = 300_000;

/** No worker lives long enough to answer anybody before that is over. */
const PATIENCE_MS = 2 * KILLING_MS;

const ASK_EVERY = 12;

export const kills = kindOf({
  name: 'kills',
  open: (place, dice) => openStage(place, { everysec: lateWrites(dice) }),
  crew: () => ({ size: 3, lockMs: 700 }),
  loginEveryMs: 300,
  patienceMs: PATIENCE_MS,
  async play(scene) {
    const { pool, chance, ask } = scene;
    const end = performance.now() + KILLING_MS;
    let asks = 0;
    for (let count = 0; count < KILLS && performance.now() < end; await delay(chance.between(100, 600))) {
      if (count >= asks * ASK_EVERY) {
        asks += 1;
        ask();
      }
      if (chance.next() < 0.2) await loseLock(scene);
      if (pool.kill()) count += 1;
    }
  },
});
