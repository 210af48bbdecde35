/**
 * Clocks that are wrong: workers whose machine jumps by an hour, policies whose time zone changes to summer time, and two days in which nobody worked.
 * Records go by Redis' clock, which is never moved: for the two days, all times that Redis remembers are moved back instead.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/patient.ts';
import { recordOf } from '../actors/asking.ts';
import type { StoredRecord } from '../evidence/evidence.ts';
import { APPS, type FleetSetting } from '../stage/apps.ts';
import { DEPLOYMENT } from '../stage/fleet.ts';
import type { Crew } from '../stage/pool.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import { type Season, turnSeason } from '../trouble/season.ts';

const HOUR_MS = 3_600_000;
const DOWN_MS = 48 * HOUR_MS;

/** The machine of a worker jumps, now and then, while it works. */
export const clock = kindOf<Stage>({
  name: 'clock',
  open: (place) => openStage(place),
  crew: (dice) => ({ size: dice.between(1, 3) }),
  async play({ ask, pool, chance }) {
    for (let jump = 0; jump < 10; jump += 1) {
      if (jump % 4 === 0) ask();
      await delay(chance.between(200, 1_200));
      pool.setClock(chance.pick([-HOUR_MS, 0, HOUR_MS]));
      if (chance.next() < 0.3) pool.kill();
    }
    // Somebody sees it, and sets all of them right.
    pool.setClock(0, 'all');
  },
});

/** Where 02:00 becomes 03:00, and when. */
const CHANGES = [
  { timezone: 'America/New_York', at: Date.UTC(2027, 2, 14, 7) },
  { timezone: 'Europe/Berlin', at: Date.UTC(2027, 2, 28, 1) },
] as const;

/** How long before the change workers begin: a busy machine needs that to start them, and one of them is killed. */
const BEFORE_MS = 25_000;
const AFTER_MS = 10_000;

const TICK_S = 2;

/** A worker may be late with its ticks by as much as a busy machine makes it. */
const SILENCE_MS = 8_000;

/** Its one time of the day is skipped. */
const SKIPPED = 'cutover';

function everyTick(timezone: string): FleetSetting {
  const apps = APPS.filter(({ ends }) => ends === 'finished').map((app) =>
    app.slug === SKIPPED ? { ...app, policy: { ...app.policy, schedule: '30 2 * * *' } } : app,
  );
  return { apps, policy: { schedule: `*/${TICK_S} * * * * *`, timezone, rotate_every: '3s' } };
}

/** Slots of all ticks of a policy, in ms since the epoch by the workers' clock. */
async function slotsOf({ queues }: Scene<Stage>, policy: string): Promise<readonly number[]> {
  const jobs = await queues.upkeep.getJobs();
  const sweeps = jobs.filter((job) => job?.name === 'sweep' && job.data.policy === policy);
  const slots = sweeps.map((job) => Date.parse(`${job.data.slot}`));
  return slots.filter((slot) => !Number.isNaN(slot)).sort((a, b) => a - b);
}

interface Change extends Season {
  /** When the clocks are put forward, in ms since the epoch. */
  readonly change: number;
  /** How far the workers' clocks are ahead, in ms. */
  readonly offset: number;
}

/** Everybody's clock is put forward. Ticks go on as if nothing were, and one whose time was skipped comes just after. */
export const dst = kindOf<Change>({
  name: 'dst',
  async open(place, dice) {
    const { timezone, at: change } = CHANGES[place.seed % 2] ?? CHANGES[0];
    const stage = await openStage(place, { fleet: everyTick(timezone) });
    return { ...stage, change, offset: change - BEFORE_MS - Date.now() + dice.between(0, 900), season: { isOn: true } };
  },
  crew: (_dice, { season, offset }): Crew => ({ size: 2, schedule: () => season.isOn, clockOffset: () => offset }),
  async play(scene) {
    const { change, offset, pool, accuse, remark } = scene;
    const reach = (time: number) => delay(Math.max(0, time - (Date.now() + offset)));
    await reach(change - 4_000);
    pool.kill();
    await reach(change + AFTER_MS);
    const skipped = await slotsOf(scene, SKIPPED);
    if (!skipped.some((slot) => slot >= change && slot <= change + AFTER_MS))
      accuse('no_tick', null, 'a time was skipped, and its tick did not come afterwards');
    const slots = await slotsOf(scene, 'overlap');
    const around = slots.filter((slot) => slot >= change - 4_000 && slot <= change + AFTER_MS);
    const [first = 0, ...rest] = [change - 4_000, ...around, change + AFTER_MS];
    rest.reduce((before, slot) => {
      if (slot - before > SILENCE_MS) accuse('no_tick', null, `no tick for ${slot - before} ms around the change`);
      return slot;
    }, first);
    await turnSeason(scene, false);
    remark(`${around.length} ticks around ${new Date(change).toISOString()}`);
  },
});
/** All that a record says about time, earlier by that much. No other number in it is that large. */
function earlier(value: unknown): unknown {
  if (typeof value === 'number') return value > 1e12 ? value - DOWN_MS : value;
  if (Array.isArray(value)) return value.map(earlier);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, earlier(member)]));
}

/** BullMQ's scores of delayed jobs: ms, and twelve bits to keep their order. */
const SCORES_PER_MS = 0x1000;

async function passTwoDays({ raw, clients, watch, chance, remark }: Scene<Stage>): Promise<void> {
  // What is done here is no commit of anybody's.
  watch.close();
  for (const { ref } of clients) {
    const key = `{rekeyd}:store:client:${ref}`;
    const record = await raw.hget(key, 'record');
    if (record !== null) await raw.hset(key, 'record', JSON.stringify(earlier(JSON.parse(record))));
    if ((await raw.zscore('{rekeyd}:store:due', ref)) !== null) await raw.zincrby('{rekeyd}:store:due', -DOWN_MS, ref);
  }
  const delayed = `{rekeyd}:rotate-${DEPLOYMENT}:delayed`;
  const jobs = await raw.zrange(delayed, '0', '-1');
  if (chance.next() < 0.5) await raw.del(delayed, ...jobs.map((id) => `{rekeyd}:rotate-${DEPLOYMENT}:${id}`));
  else for (const job of jobs) await raw.zincrby(delayed, -DOWN_MS * SCORES_PER_MS, job);
  remark(`${jobs.length} jobs waited, ${await raw.zcard(delayed)} are left`);
  await watch.attach();
}

function isLeaving({ rotation, server, retirements }: StoredRecord): boolean {
  return rotation === null && server.inFlight === null && retirements.length > 0;
}

/** Everybody's old keys are in their overlap when the last worker goes; when one comes back, all of those are long overdue. */
export const away = kindOf<Stage>({
  name: 'away',
  open: (place) =>
    openStage(place, { fleet: { apps: APPS.filter(({ ends }) => ends === 'finished'), policy: { overlap: '47h' } } }),
  crew: (dice) => ({ size: dice.between(1, 3) }),
  async play(scene) {
    const { ask, pool, raw, clients } = scene;
    await ask();
    await until('every old key is in its overlap', async () => {
      const enrolled = clients.filter(({ enrolment }) => enrolment === 'enrolled');
      const records = await Promise.all(enrolled.map(({ ref }) => recordOf(raw, ref)));
      return records.every((record) => record !== null && isLeaving(record));
    });
    await pool.away(() => passTwoDays(scene));
  },
});
