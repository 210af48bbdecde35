/** Keys are reported in the middle of everything else, one by one and all at once, while standby keys are made, used, given up and replaced. */
import { PATIENCE_MS } from '../actors/asking.ts';
import { apps, areReplaced, entrusted, ready, report } from '../actors/standby-plot.ts';
import { kindOf } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';
import { breakThings } from '../trouble/chaos.ts';
import { lateWrites } from './random.ts';

const ROUNDS = 2;

export const standby = kindOf({
  name: 'standby',
  open: (place, dice) => openStage(place, { everysec: lateWrites(dice), fleet: { apps } }),
  crew: (dice) => ({ size: dice.between(1, 3), schedule: () => true }),
  async play(scene) {
    const { chance } = scene;
    let [kept, given] = [0, 0];
    for (let round = 1; round <= ROUNDS; round += 1) {
      await ready(scene, PATIENCE_MS);
      for (const client of entrusted(scene)) {
        if (chance.next() < 0.3) continue;
        const keeps = chance.next() < 0.5;
        void report(scene, client, keeps);
        if (keeps) kept += 1;
        else given += 1;
      }
      await breakThings(scene, 3);
    }
    scene.emulator.faults.clear();
    await ready(scene, PATIENCE_MS);
    // A whole fleet, with those whose keys rekeyd has a copy of: more than the breaker lets through, so somebody says that it is meant.
    for (const client of scene.clients)
      if (client.enrolment === 'held') scene.entrust(client, 'its key was reported', 'own, then folder');
    await scene.ask({ compromised: true, keep_standby: true, confirm: true });
    await breakThings(scene, 2);
    scene.emulator.faults.clear();
    await ready(scene, PATIENCE_MS);
    await areReplaced(scene);
    scene.remark(`${kept} spared, ${given} meant the standby too, then all at once`);
  },
});
