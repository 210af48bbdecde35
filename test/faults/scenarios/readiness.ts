/**
 * Signers that report, each in its own time: a cutover waits for the last of them, and an overlap for one that goes on with the old key. One client has fewer
 * signers than its policy wants: its rotation fails, and nothing of it is sent. Workers die all the while.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { recordOf } from '../actors/asking.ts';
import { type Carrier, carryReports, startSecondSigner } from '../actors/reports.ts';
import type { AppSetting, NewClient } from '../stage/apps.ts';
import type { FaultClient } from '../stage/fleet.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';
import { amidKills, endedOf, entriesOf, type Season, soon, untilIdle } from '../trouble/season.ts';

const ROUNDS = 2;

const REPORTING: NewClient = { alg: 'ES256', reportsApart: true };

const READY: AppSetting = {
  slug: 'ready',
  selection: 'first_pem',
  policy: { require_ready: 2, ready_timeout: '2m' },
  ends: 'finished',
  logins: 'two',
  clients: [REPORTING, REPORTING, REPORTING],
};

const ALONE: AppSetting = {
  slug: 'alone',
  selection: 'first_pem',
  policy: { require_ready: 2, ready_timeout: '2s' },
  ends: 'failed',
  logins: 'one',
  clients: [REPORTING],
};

const LAGGING: AppSetting = {
  slug: 'lagging',
  selection: 'jwks_kid',
  policy: { strategy: 'overlap', ready_timeout: '1s' },
  ends: 'finished',
  logins: 'one',
  clients: [REPORTING, REPORTING],
};

interface Post {
  /** Of those that are held up: the second signer of a cutover, and the only one of an overlap. */
  readonly slow: readonly Carrier[];
}

async function openPost({ clients, dir, history, later }: Scene<Season>): Promise<Post> {
  const slow: Carrier[] = [];
  const carry = (client: FaultClient, outbox: string, name: string) => {
    const carrier = carryReports(client, outbox, name, history);
    later(`reports of ${name}`, carrier.stop);
    return carrier;
  };
  for (const client of clients) {
    const { app, id, outbox } = client;
    const first = carry(client, outbox ?? '', 'web-1');
    if (app === LAGGING) slow.push(first);
    if (app !== READY) continue;
    const second = join(dir, 'outbox', `${id}-second`);
    later('a second signer', await startSecondSigner(client, second));
    slow.push(carry(client, second, 'web-2'));
  }
  return { slow };
}

/** Every cutover is ready but for its second signer, and every overlap was said to last too long. */
async function untilHeld(scene: Scene<Season>, round: number): Promise<void> {
  const { clients, raw } = scene;
  for (const { ref, app } of clients) {
    if (app === ALONE) continue;
    await soon(scene, `${ref} waits for its signers`, async () => {
      // Or it did not wait.
      if ((await endedOf(scene, ref)) >= round) return true;
      const record = await recordOf(raw, ref);
      return app === READY ? record?.rotation?.phase.name === 'delivered' : record?.retirements[0]?.delayed;
    });
  }
}

export const readiness = kindOf<Season>({
  name: 'readiness',
  async open(place) {
    return { ...(await openStage(place, { fleet: { apps: [READY, ALONE, LAGGING] } })), season: { isOn: false } };
  },
  crew: (dice) => ({ size: dice.between(2, 3), machines: dice.between(1, 2) }),
  async play(scene) {
    const { chance, ask } = scene;
    const { slow } = await openPost(scene);
    // Each has said once which key it signs with.
    await delay(1_000);
    for (let round = 1; round <= ROUNDS; round += 1) {
      await amidKills(scene, async () => {
        for (const carrier of slow) carrier.hold();
        void ask();
        await untilHeld(scene, round);
        await delay(chance.between(500, 3_000));
        for (const carrier of slow) carrier.goOn();
        await untilIdle(scene);
      });
    }
    scene.remark(`${(await entriesOf(scene, 'rotation.delayed')).length} delays told`);
  },
});
