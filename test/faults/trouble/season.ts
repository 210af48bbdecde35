/** Ticks of schedules, until somebody says that there are no more; and kills at any moment beside whatever else is done. */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../../src/errors.ts';
import { until } from '../../support/patient.ts';
import { isBusy, recordOf } from '../actors/asking.ts';
import type { Scene } from '../stage/scenario.ts';
import type { Stage } from '../stage/stage.ts';

export interface Season extends Stage {
  /** Whether workers that start now have ticks. */
  readonly season: { isOn: boolean };
}

/** How long anything may take that rekeyd does by itself here, in ms, while workers die and the machine is busy. */
const PATIENCE_MS = 90_000;

/** A wait that is over without its end is judged, and what was to come after it is done all the same. False when it is. */
export async function soon(
  { accuse }: Scene<Season>,
  what: string,
  ask: Parameters<typeof until>[1],
): Promise<boolean> {
  try {
    await until(what, ask, PATIENCE_MS);
    return true;
  } catch (error) {
    accuse('waited', null, messageOf(error));
    return false;
  }
}

/** Workers die while `work` is done, a few seconds apart. */
export async function amidKills<T>({ pool, chance }: Scene<Season>, work: () => Promise<T>): Promise<T> {
  let isOver = false;
  async function kill(): Promise<void> {
    for (await delay(chance.between(200, 1_500)); !isOver; await delay(chance.between(1_500, 4_500))) pool.kill();
  }
  const killing = kill();
  try {
    return await work();
  } finally {
    isOver = true;
    await killing;
  }
}

/** All workers are replaced by some with ticks, or without. */
export async function turnSeason({ pool, season }: Scene<Season>, isOn: boolean): Promise<void> {
  season.isOn = isOn;
  await pool.away(async () => {});
}

/** Without ticks: what was begun comes to its end. */
export async function endSeason(scene: Scene<Season>): Promise<void> {
  await turnSeason(scene, false);
  await untilIdle(scene);
}

export async function untilIdle(scene: Scene<Season>): Promise<void> {
  const { clients, raw } = scene;
  await soon(scene, 'nobody is rotated any more', async () => {
    const records = await Promise.all(clients.map(({ ref }) => recordOf(raw, ref)));
    return !records.some(isBusy);
  });
}

/** How many rotations of a client have ended. */
export function endedOf({ raw }: Scene<Season>, ref: string): Promise<number> {
  return raw.llen(`{rekeyd}:store:history:${ref}`);
}

/** Entries of the audit log as it is now, by type. */
export async function entriesOf({ raw }: Scene<Season>, type: string): Promise<readonly Told[]> {
  const lines = await raw.xrange('{rekeyd}:store:audit', '-', '+');
  return lines.map(([, [, , , draft = 'null']]): Told => JSON.parse(draft)).filter((one) => one.type === type);
}

interface Told {
  readonly type: string;
  readonly client: string | null;
  readonly actor: string;
  readonly data: { readonly [name: string]: unknown };
}
