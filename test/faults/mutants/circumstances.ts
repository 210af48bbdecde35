/** What brings each mutant to light. Nothing of it harms an unbroken rekeyd, and every run of the mutants begins by showing that. */

import { setTimeout as delay } from 'node:timers/promises';
import { CHANGE } from '../../emulator/fault-rules.ts';
import { isChange } from '../../emulator/log.ts';
import { until } from '../../support/patient.ts';
import { redisKinds } from '../../support/redis.ts';
import { APPS } from '../stage/apps.ts';
import { DEPLOYMENT, type FaultClient } from '../stage/fleet.ts';
import { type Kind, kindOf, type Scene } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import { RETRY_AFTER_S } from '../stage/testbed.ts';
import type { Sentence } from '../trouble/sentence.ts';
import { CALLS } from './circumstances-of-http.ts';
import { LIMITS } from './circumstances-of-limits.ts';
import { standingBy } from './circumstances-of-standby.ts';

/** For the first worker that starts, and for no other. */
function once(...sentences: readonly Sentence[]): () => readonly Sentence[] {
  let isFirst = true;
  return () => {
    const told = isFirst ? sentences : [];
    isFirst = false;
    return told;
  };
}

const calm = kindOf({
  name: 'calm',
  open: (place) => openStage(place),
  crew: () => ({ size: 1 }),
  play: async ({ ask }) => void (await ask()),
});

const throttled = kindOf({
  name: 'throttled',
  open: (place) => openStage(place),
  crew: () => ({ size: 1 }),
  async play({ emulator, ask }) {
    const message = `Rate limit exceeded. Retry after ${RETRY_AFTER_S} seconds`;
    const rule = { kind: 'status', status: 429, retryAfter: RETRY_AFTER_S, message, times: 2 } as const;
    const isAsked = Promise.withResolvers<void>();
    const changes = { match: CHANGE, times: Number.POSITIVE_INFINITY };
    emulator.faults.add({ kind: 'hold', until: isAsked.promise, when: 'before', ...changes });
    const sentAway = emulator.faults.add({ ...rule, match: CHANGE });
    await ask();
    // A read is sent away too: everybody is meant. The one that the request began with is over.
    emulator.faults.add({ ...rule, match: { method: 'GET', path: /\/apps$/ }, times: Number.POSITIVE_INFINITY });
    isAsked.resolve();
    await until('two changes are sent away', (saw) => saw(sentAway.fired) === 2);
    await delay(RETRY_AFTER_S * 1000);
    emulator.faults.clear();
    await patched(emulator, 3);
  },
});

/** The answer to a client's first PATCH does not come, and the PATCH itself only when another document was sent, or as late as it may. */
const late = kindOf({
  name: 'late',
  open: (place) => openStage(place, { fleet: { apps: APPS.filter(({ slug }) => slug === 'overlap') } }),
  crew: () => ({ size: 1 }),
  async play({ emulator, clients, ask }) {
    const enrolled = clients.filter(({ enrolment }) => enrolment === 'enrolled');
    for (const { id } of enrolled)
      emulator.faults.add({
        kind: 'hold',
        until: overtaken(emulator, id),
        when: 'before',
        match: { ...CHANGE, client: id },
      });
    await ask();
    await Promise.all(enrolled.map(({ id }) => overtaken(emulator, id)));
  },
});

/** A PATCH has 1 s until its timeout, and 2 s more for its intent. */
const LATEST_MS = 2_700;

async function overtaken({ log }: Stage['emulator'], client: FaultClient['id']): Promise<void> {
  for (;;) {
    const [first, ...others] = log.filter((call) => isChange(call) && call.client === client);
    const text = JSON.stringify(first?.body);
    if (others.some(({ body, doneAt }) => doneAt !== undefined && JSON.stringify(body) !== text)) return;
    if (first !== undefined && Date.now() > first.at + LATEST_MS) return;
    await delay(10);
  }
}

/** Redis loses all that it has not confirmed, just when keys have been published. */
const powerCut = kindOf({
  name: 'power-cut',
  open(place) {
    if (redisKinds[0] !== 'valkey')
      throw new Error('only a server that confirms single writes can be late with others: install Valkey');
    return openStage(place, { everysec: true });
  },
  crew: () => ({ size: 1 }),
  async play({ emulator, proxy, disk, watch, ask }) {
    const answer = ask();
    await patched(emulator, 4);
    await proxy.cut(async () => {
      await disk.powerCut(() => delay(100));
      await watch.attach();
    });
    await answer;
  },
});

const HELD_UP_MS = 4_000;

/** A worker is held up with a result in its hands, and loses its job to another run meanwhile. */
const outrun = kindOf({
  name: 'outrun',
  open: (place) => openStage(place),
  crew: () => ({
    size: 2,
    sentences: once({ point: 'generate:before commit', nth: 1, deed: 'delay', ms: HELD_UP_MS }),
  }),
  async play(scene) {
    const lost = Promise.withResolvers<void>();
    scene.onConfession(({ ref }) => void loseLocks(scene, ref).then(lost.resolve, lost.reject));
    await scene.ask();
    await lost.promise;
    await delay(HELD_UP_MS);
  },
});

async function loseLocks({ raw, history }: Scene<Stage>, ref: string): Promise<void> {
  for (const lock of await raw.keys(`{rekeyd}:rotate-${DEPLOYMENT}:*:lock`)) {
    await raw.del(lock);
    history.note({ kind: 'lock_loss', job: `${lock}, of ${ref} or another` });
  }
}

/** Until the worker that is sentenced to death has died at its point. */
async function untilDeath({ ask, onDeath }: Scene<Stage>): Promise<void> {
  const dead = Promise.withResolvers<void>();
  onDeath(() => dead.resolve());
  await Promise.all([ask(), dead.promise]);
}

/** A worker dies after it made a key, and before it went on with it. */
const diedBeforeDelivery = kindOf({
  name: 'died-before-delivery',
  open: (place) => openStage(place),
  crew: () => ({ size: 1, sentences: once({ point: 'generate:after commit', nth: 1, deed: 'kill' }) }),
  play: untilDeath,
});

/** A worker dies when the server takes the new key and no longer the old one; and nobody is there for a while. */
const diedAfterCutover = kindOf({
  name: 'died-after-cutover',
  open: (place) => openStage(place, { fleet: { apps: APPS.filter(({ slug }) => slug === 'cutover') } }),
  crew: () => ({ size: 1, sentences: once({ point: 'patch:after effect', nth: 1, deed: 'kill' }) }),
  play: untilDeath,
});

async function patched({ log }: Stage['emulator'], count: number): Promise<void> {
  const carriedOut = () => log.filter((call) => isChange(call) && call.doneAt !== undefined).length;
  while (carriedOut() < count) await delay(5);
}

/** A worker stands still with a commit in its hands, and a person reports the key of that client meanwhile. */
const interrupted = kindOf({
  name: 'interrupted',
  open: (place) =>
    openStage(place, { fleet: { apps: APPS.map((app) => (app.logins === 'one' ? { ...app, logins: 'two' } : app)) } }),
  crew: () => ({ size: 1, sentences: once({ point: 'deliver:before commit', nth: 1, deed: 'hold' }) }),
  async play(scene) {
    const held = Promise.withResolvers<string>();
    scene.onConfession(({ ref }) => held.resolve(ref));
    await scene.ask();
    const ref = await held.promise;
    await scene.ask({ select: { clients: [ref] }, compromised: true });
    scene.pool.goOn();
  },
});

const ALL: readonly Kind[] = [
  calm,
  throttled,
  late,
  powerCut,
  outrun,
  interrupted,
  diedBeforeDelivery,
  diedAfterCutover,
  standingBy,
  ...CALLS,
  ...LIMITS,
];

export const CIRCUMSTANCES: ReadonlyMap<string, Kind> = new Map(ALL.map((kind) => [kind.name, kind]));
