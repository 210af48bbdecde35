/**
 * Keys are reported stolen in the middle of everything else: in the end none of them signs in. What an ordinary rotation sits out is longer here than
 * the run may take, so that a stolen key which waits for anything is found as stuck.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isBusy, PATIENCE_MS, recordOf } from '../actors/asking.ts';
import { areRefused, steal, type Theft } from '../actors/thefts.ts';
import type { Chance } from '../random.ts';
import { APPS } from '../stage/apps.ts';
import type { FaultClient } from '../stage/fleet.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import { breakThings } from '../trouble/chaos.ts';
import { lateWrites } from './random.ts';

const ROUNDS = 3;

/** Without the two whose rotations cannot succeed. Nobody who signs in is spared a second try: the first key may just have been taken away. */
const apps = APPS.filter(({ ends }) => ends === 'finished').map((app) => ({ ...app, logins: 'two' as const }));

const POLL_MS = 200;

/** In the last round also those whose applications have keys of their own, as long as rekeyd has a copy: those are moved to their folders just before. */
function isStruck(enrolment: FaultClient['enrolment'], round: number, chance: Chance): boolean {
  if (enrolment !== 'enrolled') return enrolment === 'held' && round === ROUNDS;
  return round === ROUNDS || chance.next() < 0.6;
}

/** The owner reports the very key. */
async function stealAndReport(client: FaultClient, { ask, entrust }: Scene<Stage>): Promise<Theft> {
  const theft = await steal(client);
  if (client.signing === 'own') entrust(client, 'its key was reported', 'own, then folder');
  ask({ select: { clients: [client.ref] }, compromised: { kid: theft.kid } });
  return theft;
}

/**
 * A request that a power cut undid is carried out again, and may begin an ordinary rotation after the last theft. Nobody sits out the overlap of what
 * that replaces; a stolen key that waits for its own is left to wait, and found.
 */
async function hurryOthers({ ask, raw, clients }: Scene<Stage>, thefts: readonly Theft[]): Promise<void> {
  const asked = new Set(thefts.map(({ kid }) => kid));
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(POLL_MS)) {
    const records = await Promise.all(clients.map(({ ref }) => recordOf(raw, ref)));
    if (!records.some(isBusy)) return;
    for (const [index, { ref }] of clients.entries()) {
      const kid = records[index]?.retirements.find(({ until }) => until > Date.now() + PATIENCE_MS)?.kid ?? null;
      if (kid === null || asked.has(kid)) continue;
      asked.add(kid);
      ask({ select: { clients: [ref] }, compromised: { kid } });
    }
  }
}

export const compromise = kindOf({
  name: 'compromise',
  open: (place, dice) =>
    openStage(place, { everysec: lateWrites(dice), fleet: { apps, policy: { overlap: '10m', propagation: '2s' } } }),
  crew: (dice) => ({ size: dice.between(1, 3) }),
  async play(scene) {
    const { clients, chance } = scene;
    const thefts: Theft[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      const answer = scene.ask();
      await breakThings(scene, 3);
      // Else it might begin a rotation after the theft, and nobody would hurry that one.
      await answer;
      // The last round takes everybody: nothing may be left that waits for its time.
      const struck = clients.filter(({ enrolment }) => isStruck(enrolment, round, chance));
      for (const client of struck) thefts.push(await stealAndReport(client, scene));
      await breakThings(scene, 3);
    }
    scene.remark(`${thefts.length} stolen`);
    scene.emulator.faults.clear();
    await hurryOthers(scene, thefts);
    scene.atRest(() => areRefused(thefts, scene));
  },
});
