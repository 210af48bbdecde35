/**
 * Every point of every step: a worker dies there, and another one fails, stands still or loses an answer. Workers come one after the other, each
 * sentenced to something that has not been done yet, until all of it has.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { CHANGE } from '../../emulator/fault-rules.ts';
import { recordOf, type Wish } from '../actors/asking.ts';
import { APPS, type AppSetting } from '../stage/apps.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import { Docket } from './docket.ts';
import { loseApiAnswer, loseStoreAnswer } from './lost-answers.ts';

const LOCK_MS = 700;

/** The last is longer than a lock holds: another worker may have taken the job meanwhile. */
const DELAYS_MS = [50, 300, LOCK_MS + 400];

/** Longer than the deadline of such a PATCH (1 s and 2 s for the intent), and the 5 s for which what was observed is fresh. */
const SILENCE_MS = 8_500;

const PATIENCE_MS = 420_000;

/** A worker that lives for long enough to answer comes seldom. */
const ANSWER_MS = 240_000;

/** After that long without anything done, workers are replaced by some with other sentences. */
const IDLE_MS = 4_000;

/** Its rotations take long enough for a person to end one. */
const PATIENT: AppSetting = {
  slug: 'patient',
  selection: 'jwks_kid',
  policy: { strategy: 'overlap', propagation: '10s' },
  ends: 'finished',
  logins: 'one',
  clients: [{ alg: 'ES256' }, { alg: 'ES256' }, { alg: 'ES256' }],
};

/** Each of its rotations takes the key that was kept ready, and the next one is made when all else is done. */
const PREPARED: AppSetting = {
  slug: 'prepared',
  selection: 'first_pem',
  policy: { standby: true },
  ends: 'finished',
  logins: 'two',
  clients: [{ alg: 'ES256' }, { alg: 'ES256' }],
};

interface Court extends Stage {
  readonly docket: Docket;
}

/**
 * The answers to PATCHes are lost, and then no worker runs for longer than any of these PATCHes could still arrive. The next worker has to look what became
 * of them.
 */
async function fallSilent({ emulator, pool, history, docket }: Scene<Court>): Promise<void> {
  const match = CHANGE;
  const lost = emulator.faults.add({ kind: 'drop', when: 'after', match, times: Number.POSITIVE_INFINITY });
  history.note({ kind: 'api', fault: 'no answer to any PATCH' });
  for (const end = performance.now() + 3_000; lost.fired < 40 && performance.now() < end; ) await delay(20);
  docket.turnTo('rare');
  await pool.away(async () => {
    emulator.faults.clear();
    await delay(SILENCE_MS);
    // The silence itself was no idleness.
    docket.turnTo('rare');
  });
}

/** Asks, unless the last answer is still to come; true when it did. */
function asker({ ask }: Scene<Court>, wish: Wish): () => boolean {
  let answered = true;
  return () => {
    if (!answered) return false;
    answered = false;
    void ask(wish).then(() => {
      answered = true;
    });
    return true;
  };
}

/** Ends rotations for as long as somebody has yet to find out which key a server then takes. */
async function endRotations({ docket, clients, raw, history, command }: Scene<Court>, end: number): Promise<void> {
  const patient = clients.filter(({ app }) => app.slug === PATIENT.slug);
  for (; docket.isOpen('choose') && performance.now() < end; await delay(100)) {
    for (const { ref } of patient) {
      if ((await recordOf(raw, ref))?.rotation?.phase.name !== 'published') continue;
      history.note({ kind: 'edit', ref, what: 'ends its rotation' });
      await command('abandon', ref).catch(() => undefined); // it was over by then
    }
  }
}

export const points = kindOf<Court>({
  name: 'points',
  open: async (place) => {
    const apps = [...APPS, PATIENT, PREPARED];
    const stage = await openStage(place, { fleet: { apps, config: { reconcile_every: '2s' } } });
    return { ...stage, docket: new Docket() };
  },
  crew(dice, { docket }) {
    const lot = dice.branch('sentences');
    return {
      size: dice.between(2, 3),
      lockMs: LOCK_MS,
      sentences: () => docket.draw(lot, DELAYS_MS),
    };
  },
  patienceMs: ANSWER_MS,
  loginEveryMs: 400,
  async play(scene) {
    const { docket, pool, raw } = scene;
    scene.onDeath((point) => docket.done('kill', point));
    scene.onConfession((confession) => {
      docket.done(confession.deed, confession.point);
      if (confession.deed !== 'drop') return;
      if (confession.point.endsWith('commit')) loseStoreAnswer(scene, confession.ref);
      else loseApiAnswer(scene, confession);
    });
    const everybody = asker(scene, {});
    let silences = 0;
    const end = performance.now() + PATIENCE_MS;
    const ending = endRotations(scene, end);
    for (; docket.open.length > 0 && performance.now() < end; await delay(50)) {
      if ((await raw.scard('{rekeyd}:store:open')) === 0 && everybody() && docket.onlyRare) {
        silences += 1;
        await fallSilent(scene);
      }
      if (docket.idleMs() < IDLE_MS) continue;
      docket.turnTo('all');
      pool.kill();
    }
    await ending;
    scene.remark(`${silences} silences`);
    for (const name of docket.open) scene.accuse('not_reached', null, `nobody came to: ${name}`);
  },
});
