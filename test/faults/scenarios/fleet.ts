/** Two hundred clients of every kind and three workers, some of which die. */
import { setTimeout as delay } from 'node:timers/promises';
import { APPS, type AppSetting } from '../stage/apps.ts';
import { kindOf } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';

const SIZE = 200;
const KILLS = 8;

/** RSA pairs are slow to make: as many as there are in the small fleet. */
const apps: readonly AppSetting[] = APPS.map((app) => {
  const [first] = app.clients;
  const more = Math.round((SIZE / 12) * app.clients.length) - app.clients.length;
  return first === undefined
    ? app
    : { ...app, clients: [...app.clients, ...Array.from({ length: more }, () => first)] };
});

export const fleet = kindOf({
  name: 'fleet',
  // Among so many, a login that has read its folder takes a while to be answered.
  open: (place) => openStage(place, { fleet: { apps, policy: { overlap: '2s' } } }),
  crew: () => ({ size: 3 }),
  loginEveryMs: 3_000,
  patienceMs: 180_000,
  async play({ ask, pool, chance, clients, remark }) {
    ask();
    for (let kills = 0; kills < KILLS; kills += 1) {
      await delay(chance.between(700, 2_500));
      pool.kill();
      if (kills === KILLS / 2) ask();
    }
    remark(`${clients.length} clients`);
  },
});
