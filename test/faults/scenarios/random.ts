/** Everything at once: kills, lost locks, Redis faults, API faults and wrong clocks, as the seed has it. */
import { redisKinds } from '../../support/redis.ts';
import { POINTS } from '../points.ts';
import type { Chance } from '../random.ts';
import { kindOf } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';
import { breakThings } from '../trouble/chaos.ts';

const ASKS = 4;
const ACTS_PER_ASK = 6;
const HOUR_MS = 3_600_000;

/** Only a server that confirms single writes may be late with the others. */
export function lateWrites(dice: Chance): boolean {
  return redisKinds[0] === 'valkey' && dice.next() < 0.75;
}

export const random = kindOf({
  name: 'random',
  open: (place, dice) => openStage(place, { everysec: lateWrites(dice) }),
  crew(dice) {
    const lot = dice.branch('sentences');
    return {
      size: dice.between(1, 3),
      sentences: () =>
        lot.next() < 0.75 ? [{ point: lot.pick(POINTS), nth: lot.between(1, 8), deed: 'kill' as const }] : [],
      clockOffset: () => (lot.next() < 0.25 ? lot.pick([-HOUR_MS, HOUR_MS]) : 0),
    };
  },
  async play(scene) {
    scene.ask();
    for (let count = 1; count <= ASKS; count += 1) {
      await breakThings(scene, ACTS_PER_ASK);
      if (count < ASKS) scene.ask();
    }
  },
});
