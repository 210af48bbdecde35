/** A receiver of webhooks hangs up, refuses, or answers late, while workers die, Redis goes away and loses what was not on disk. */
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/patient.ts';
import { APPS } from '../apps.ts';
import { PATIENCE_MS, quiet } from '../asking.ts';
import { breakRedis, breakThings } from '../chaos.ts';
import { type Receiver, startReceiver, whimOf } from '../receiver.ts';
import { kindOf } from '../scenario.ts';
import { openStage, type Stage } from '../stage.ts';
import { lateWrites } from './random.ts';

const ROUNDS = 2;

/** A worker that dies leaves its lease behind, and a delivery that failed waits: both take some seconds. */
const HEARD_MS = 120_000;

interface Heard extends Stage {
  readonly receiver: Receiver;
}

const apps = APPS.filter(({ slug }) => ['overlap', 'cutover'].includes(slug));

export const webhooks = kindOf<Heard>({
  name: 'webhooks',
  async open(place, dice) {
    const receiver = await startReceiver();
    place.later('receiver', () => receiver.close());
    const config = {
      webhooks: [
        { name: 'siem', url: receiver.url, secret: 'env:HOOK_SECRET', timeout: '1s', allow_private: ['127.0.0.1'] },
      ],
    };
    const stage = await openStage(place, { everysec: lateWrites(dice), fleet: { apps, config } });
    receiver.note = (event) => stage.history.note(event);
    return { ...stage, receiver };
  },
  crew: () => ({ size: 3 }),
  async play(scene) {
    const { chance, receiver, pool, raw, clients, ask } = scene;
    const heard = async () => receiver.last >= Number(await raw.get('{rekeyd}:store:audit:size'));
    for (let round = 1; round <= ROUNDS; round += 1) {
      void ask();
      // A delivery that fails is repeated after some seconds: there is time for one or two in each round.
      receiver.whims.push(whimOf(chance));
      await breakRedis(scene);
      pool.kill();
      receiver.whims.push(whimOf(chance));
      await breakThings(scene, 2);
      await delay(chance.between(200, 1_000));
    }
    scene.emulator.faults.clear();
    pool.calm();
    await quiet(raw, clients, new Set(), PATIENCE_MS);
    await until('the receiver has heard all', heard, HEARD_MS).catch(() => {
      scene.accuse('hook_late', null, `the receiver heard of no entry after ${receiver.last}`);
    });
    scene.remark(`${receiver.last} entries heard`);
  },
});
