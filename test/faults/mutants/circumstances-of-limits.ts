/** What brings those mutants to light that touch whom they must not, or too often, or while they may not: see {@link ./circumstances.ts}. */

import { setTimeout as delay } from 'node:timers/promises';
import { CHANGE } from '../../emulator/fault-rules.ts';
import { isChange } from '../../emulator/log.ts';
import { until } from '../../support/patient.ts';
import { enrolment } from '../scenarios/enrolment.ts';
import { emptied, rolledBack } from '../scenarios/lost-store.ts';
import { readiness } from '../scenarios/readiness.ts';
import { rollback } from '../scenarios/rollback.ts';
import { waves } from '../scenarios/waves.ts';
import { APPS, type AppSetting } from '../stage/apps.ts';
import { API_KEY, DEPLOYMENT } from '../stage/fleet.ts';
import { type Kind, kindOf } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** Two days that are neither today nor tomorrow, all day long. */
function closedWindow(): string {
  const today = new Date().getUTCDay();
  const [from, to] = [DAYS[(today + 3) % 7], DAYS[(today + 4) % 7]];
  return `${from}-${to} 00:00-24:00`;
}

interface Season extends Stage {
  /** Whether workers that start now have ticks. */
  readonly season: { isOn: boolean };
}

const OPEN = 'Sun-Sat 00:00-24:00';

/** Everybody is due, and ticks come, until those have been rotated who are to be: applications with keys of their own are not, nor whose windows are closed. */
function ticking(name: string, windowsOf: Readonly<Record<string, () => string>>): Kind {
  return kindOf<Season>({
    name,
    async open(place) {
      const apps = APPS.filter(({ slug }) => windowsOf[slug] !== undefined).map(
        (app): AppSetting => ({
          ...app,
          policy: {
            ...app.policy,
            schedule: '*/2 * * * * *',
            rotate_every: '3s',
            windows: [windowsOf[app.slug]?.() ?? OPEN],
          },
        }),
      );
      return { ...(await openStage(place, { fleet: { apps } })), season: { isOn: true } };
    },
    crew: (_dice, { season }) => ({ size: 1, schedule: () => season.isOn }),
    async play({ raw, clients, pool, season }) {
      for (const { ref, app, enrolment } of clients) {
        const isRotated = enrolment === 'enrolled' && windowsOf[app.slug]?.() === OPEN;
        const key = isRotated ? `{rekeyd}:store:history:${ref}` : `{rekeyd}:store:client:${ref}`;
        await until(`${ref} is ${isRotated ? 'rotated' : 'found'}`, async (saw) => saw(await raw.exists(key)) === 1);
      }
      season.isOn = false;
      await pool.away(async () => {});
    },
  });
}

const closedWindows = ticking('closed-windows', { overlap: closedWindow, cutover: () => OPEN });
const leftAlone = ticking('left-alone', { overlap: () => OPEN, cutover: () => OPEN });

/** How long the API key is refused, in ms: without a pause each client is tried dozens of times. */
const REFUSED_MS = 12_000;

const keyRefused = kindOf({
  name: 'key-refused',
  open: (place) => openStage(place),
  crew: () => ({ size: 1 }),
  async play({ emulator, ask, raw }) {
    emulator.setApiKey(DEPLOYMENT, API_KEY, 'read');
    // Not waited for: once it is paused, no list is read, and the answer comes when that is over.
    void ask();
    const key = `{rekeyd}:store:deployment:${DEPLOYMENT}`;
    const isPaused = async () => (await raw.hget(key, 'paused_by')) !== null;
    await until('it is paused', isPaused, REFUSED_MS).catch(() => undefined); // what comes of that is judged
    await delay(REFUSED_MS);
    emulator.setApiKey(DEPLOYMENT, API_KEY);
    // What waits for its next try need not wait for it.
    await until('it is over', async () => {
      if (!(await isPaused())) return true;
      await raw.hset(key, 'try_at', 0);
      return false;
    });
  },
});

/** How long a worker waits for an answer of the API, in ms. */
const TIMEOUT_MS = 20_000;

/** A PATCH is not answered, its job loses its lock, and there is room for one job only: it is given up then, and not when its own time is over. */
const lockLost = kindOf({
  name: 'lock-lost',
  open: (place) =>
    openStage(place, {
      fleet: {
        apps: APPS.filter(({ slug }) => slug === 'unproven'),
        deployment: { timeout: `${TIMEOUT_MS}ms`, concurrency: 1 },
      },
    }),
  crew: () => ({ size: 1, lockMs: 1_500 }),
  async play({ emulator, ask, raw, history, accuse }) {
    const stalled = emulator.faults.add({ kind: 'stall', when: 'before', match: CHANGE });
    await ask();
    await until('a PATCH is not answered', (saw) => saw(stalled.fired) > 0);
    for (const lock of await raw.keys(`{rekeyd}:rotate-${DEPLOYMENT}:*:lock`)) {
      await raw.set(lock, 'of somebody else', 'PX', 1_000);
      history.note({ kind: 'lock_loss', job: lock });
    }
    const patches = () => emulator.log.filter(isChange);
    const [first, second] = await until(
      'it is sent again',
      (saw) => saw(patches().length) > 1 && patches(),
      2 * TIMEOUT_MS,
    );
    if (first === undefined || second === undefined || second.at >= first.at + TIMEOUT_MS)
      accuse('lock', null, 'a PATCH went on although its job had lost its lock');
  },
});

export const LIMITS: readonly Kind[] = [
  closedWindows,
  keyRefused,
  lockLost,
  leftAlone,
  emptied,
  rolledBack,
  waves,
  readiness,
  enrolment,
  rollback,
];
