/**
 * Every point of every step: a worker dies there, and another one fails, stands still or loses an answer. Workers come one after the other, each
 * sentenced to something that has not been done yet, until all of it has.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Wish } from '../asking.ts';
import { APPS, DEPLOYMENT } from '../fleet.ts';
import { kindOf, type Scene } from '../scenario.ts';
import { openStage, type Stage } from '../stage.ts';
import { Docket } from './docket.ts';
import { loseApiAnswer, loseStoreAnswer } from './lost-answers.ts';

const LOCK_MS = 700;

/** The last is longer than a lock holds: whoever stood still may have been replaced meanwhile. */
const DELAYS_MS = [50, 300, LOCK_MS + 400];

/** Longer than the deadline of such a PATCH (1 s and 2 s for the intent), and the 5 s for which what was observed is fresh. */
const SILENCE_MS = 8_500;

const PATIENCE_MS = 420_000;

/** After that long without anything done, workers are replaced by some with other sentences. */
const IDLE_MS = 4_000;

interface Court extends Stage {
  readonly docket: Docket;
}

/**
 * Nobody hears the answers to PATCHes, and then nobody works for longer than any of them could still arrive. Whoever comes after that has to read
 * what became of them, and finds that there is nothing left to send.
 */
async function fallSilent({ emulator, pool, history, docket }: Scene<Court>): Promise<void> {
  const match = { method: 'PATCH' };
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

export const points = kindOf<Court>({
  name: 'points',
  open: async (place) => {
    const stage = await openStage(place, { fleet: { apps: APPS, config: { reconcile_every: '2s' } } });
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
    const impossible = asker(scene, { select: { app: `${DEPLOYMENT}/impossible` } });
    let silences = 0;
    const end = performance.now() + PATIENCE_MS;
    for (; docket.open.length > 0 && performance.now() < end; await delay(50)) {
      if ((await raw.scard('{rekeyd}:store:open')) === 0 && everybody() && docket.onlyRare) {
        silences += 1;
        await fallSilent(scene);
      }
      // Its rotations end with their first step, and there is only one of it.
      if (docket.isOpen('fail')) impossible();
      if (docket.idleMs() < IDLE_MS) continue;
      docket.turnTo('all');
      pool.kill();
    }
    scene.remark(`${silences} silences`);
    for (const name of docket.open) scene.accuse('not_reached', null, `nobody came to: ${name}`);
  },
});
