/**
 * Keys of the fleet are stolen and reported over HTTP in the forms in which people find them, again and again, beside keys of nobody and keys that are
 * destroyed already. Meanwhile workers die and Redis goes away. In the end no stolen key signs in, and no private half of a report is anywhere.
 */
import type { KeyObject } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { makeKey } from '../../emulator/testing.ts';
import { type ApiCall, type Bearer, isRefusedEverywhere, makeToken, openCallers, strike } from '../actors/callers.ts';
import { areRefused, hunt, reportOf, steal, type Theft, untilDestroyed } from '../actors/thefts.ts';
import { APPS, type AppSetting } from '../stage/apps.ts';
import { kindOf } from '../stage/scenario.ts';
import { enrolled, openServed, type Served, servingCrew } from '../stage/serving.ts';
import { breakRedis, breakThings } from '../trouble/chaos.ts';

const ROUNDS = 2;

/** The reports of one round begin within that time, in ms. */
const SPREAD_MS = 2_000;

const WORKERS = 3;

/** The key of a report is away at once: whoever signs in just then tries again. */
const apps: readonly AppSetting[] = APPS.filter(({ slug }) => ['overlap', 'cutover', 'pem'].includes(slug)).map(
  (app) => ({
    ...app,
    logins: 'two',
  }),
);

export const leaks = kindOf<Served>({
  name: 'leaks',
  open: (place, dice) => openServed(place, { apps }, WORKERS, dice),
  crew: (_dice, testbed) => servingCrew(testbed),
  loginEveryMs: 300,
  async play(scene) {
    const { chance, history, ports } = scene;
    const callers = openCallers({ ports, history, chance: chance.branch('callers') });
    const [siem, reader] = await Promise.all([
      makeToken(scene, 'siem', 'rotate,read'),
      makeToken(scene, 'reader', 'read'),
    ]);
    const thefts: Theft[] = [];
    const strangers: KeyObject[] = [];
    let reports = 0;

    /** Two programs found the same key in the same form. */
    async function report(key: KeyObject, due: ApiCall['due'], bearer: Bearer = siem): Promise<void> {
      reports += 1;
      const call = reportOf(key, reports, { name: `leak-${scene.seed}-${reports}`, bearer, due });
      await delay(chance.between(0, SPREAD_MS));
      if (chance.next() < 0.4) await strike(scene, callers, call);
      const [answer] = await Promise.all([callers.call(call), callers.call(call)]);
      if (answer === null) scene.accuse('unanswered', null, `${call.name} was never answered`);
      scene.owe((answer?.rotations ?? []).map(({ id }) => id));
    }

    for (let round = 1; round <= ROUNDS; round += 1) {
      const destroyed = [...thefts];
      const stolen = await Promise.all(enrolled(scene).map(steal));
      thefts.push(...stolen);
      const strange = ['ES256', 'RS256', 'EdDSA'].map((alg) => makeKey(alg).privateKey);
      strangers.push(...strange);
      const work = [
        ...stolen.map(({ key }) => report(key, 'effect')),
        ...[...strange, ...destroyed.map(({ key }) => key)].map((key) => report(key, 'nothing')),
      ];
      await breakRedis(scene);
      await breakThings(scene, 2);
      scene.emulator.faults.clear();
      await Promise.all(work);
      await Promise.all(stolen.map((theft) => untilDestroyed(scene, theft)));
    }
    // Whoever may only read is told whose a key is, and cannot have it replaced.
    const [next] = await Promise.all(enrolled(scene).slice(0, 1).map(steal));
    if (next !== undefined) {
      const call = reportOf(next.key, 0, { name: 'leak-reader', bearer: reader, due: 'refusal' });
      if (!(await isRefusedEverywhere(callers, history, ports, call)))
        scene.accuse('let_in', null, 'a token that may only read had a key replaced');
    }
    scene.remark(`${thefts.length} stolen, ${reports} reports`);
    scene.atRest(async () => {
      await areRefused(thefts, scene);
      await hunt(scene, [...thefts.map(({ key }) => key), ...strangers]);
    });
  },
});
