/**
 * Under running workers the store is emptied, replaced by another one, or by an older state of itself. People ask for rotations and workers die, and nothing
 * is written, sent or delivered, until the store is restored (odd seeds) or a person declares the loss (even seeds).
 */
import { existsSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/patient.ts';
import { makeOtherStore } from '../actors/other-store.ts';
import { thumbprintOf } from '../checks/keys.ts';
import type { StoredRecord } from '../evidence/evidence.ts';
import type { JwkMembers } from '../evidence/history.ts';
import { APPS } from '../stage/apps.ts';
import { DEPLOYMENT, type FaultClient } from '../stage/fleet.ts';
import { type Kind, kindOf, type Scene } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import type { Place } from '../stage/testbed.ts';
import { logOf } from '../trouble/disk.ts';
import { copyLog, copySnapshot, putBack, putInPlace, undoFlush } from '../trouble/store-data.ts';

/** Without the two whose rotations cannot succeed: what a person finds of theirs on the server is no key to go on with. */
const apps = APPS.filter(({ ends }) => ends === 'finished');

/** A PATCH has 1 s until its timeout, and 2 s more for its intent: nothing of before can arrive after that. */
const LATEST_MS = 3_500;

type Act = (scene: Scene<Losable>) => Promise<void>;

interface Losable extends Stage {
  /** A copy of another store. */
  readonly other: string;
}

interface Loss {
  readonly name: string;
  readonly lose: Act;
  /** Puts the data back, while the server is not running. */
  restore(scene: Scene<Losable>): void;
}

/** The server ends, and starts again over other data, before anybody can reach it. */
async function exchange(
  { redis, proxy, watch, history }: Scene<Losable>,
  what: 'lost' | 'restored',
  how: string,
  swap: () => void,
): Promise<void> {
  await proxy.cut(async () => {
    await redis.kill();
    swap();
    // The time is cut off to milliseconds, and nothing that was done before comes after this.
    history.note({ kind: 'store', what, how }, Date.now() + 1);
    await redis.restart();
    await watch.attach();
  });
}

/** The `data_dir` of each machine that has one. */
function machinesOf({ dir, configs }: Scene<Losable>): readonly string[] {
  return configs.map((_, index) => join(dir, `machine-${index + 1}`)).filter((machine) => existsSync(machine));
}

async function notedSize(machine: string): Promise<number> {
  const marker: { readonly size: number } = JSON.parse(await readFile(join(machine, 'store.json'), 'utf8'));
  return marker.size;
}

/** The sets in key folders were delivered under claims that the lost store had given out; sets that are served were announced in it. */
async function judgeFolders(scene: Scene<Losable>): Promise<void> {
  judgeDelivered(scene);
  await judgeServed(scene);
}

async function judgeServed({ clients, history, publicFolder, accuse }: Scene<Losable>): Promise<void> {
  const announced = history.events.flatMap((event) => {
    const drafts = event.kind === 'commit' ? event.drafts.map((draft) => JSON.parse(draft)) : [];
    return drafts.flatMap(({ client, data }) => (data?.served === true ? [`${client} ${data.kids}`] : []));
  });
  for (const { ref } of clients) {
    const file = join(publicFolder, ...ref.split('/'));
    if (!existsSync(file)) continue;
    const set: { readonly keys: readonly { readonly kid: string }[] } = JSON.parse(await readFile(file, 'utf8'));
    const kids = set.keys.map(({ kid }) => kid);
    if (!announced.includes(`${ref} ${kids}`)) accuse('served_while_lost', ref, `${kids} are served`);
  }
}

function judgeDelivered({ clients, history, accuse }: Scene<Losable>): void {
  const known = new Set<string>();
  for (const event of history.events) {
    if (event.kind === 'claim') known.add(`${event.ref} ${event.epoch}`);
    if (event.kind !== 'snapshot') continue;
    for (const [ref, { epoch }] of Object.entries(event.clients)) known.add(`${ref} ${epoch}`);
  }
  for (const { ref, folder } of clients) {
    if (!existsSync(folder)) continue;
    const [, epoch] = /^\.\.(\d+)-/.exec(readlinkSync(join(folder, '..data'))) ?? [];
    if (!known.has(`${ref} ${epoch}`)) accuse('delivered_while_lost', ref, `keys were delivered under claim ${epoch}`);
  }
}

async function restore(scene: Scene<Losable>, loss: Loss): Promise<void> {
  await exchange(scene, 'restored', loss.name, () => loss.restore(scene));
}

/** A person says to go on, and gives the keys of clients to rekeyd again that it does not hold any more, but for two. */
async function goOn(scene: Scene<Losable>): Promise<void> {
  const { clients, command, forgetAnswers, ask, remark } = scene;
  // Nothing is sent before the loss is declared; soon after, a rotation may have replaced what is there.
  const before = new Map<string, Before>();
  for (const client of clients) before.set(client.ref, await shownBefore(client, scene));
  await command('store', 'declare-loss', '--reason', 'it is gone');
  forgetAnswers();
  // An emptied store hears of its clients from the lists.
  await ask();
  const known: FaultClient[] = [];
  for (const client of clients) {
    const record = await undoubtedRecord(client, scene);
    if (client.enrolment !== 'enrolled') continue;
    if (record.enrolment === 'found') known.push(client);
    else welcome(client, before, before.get(client.ref)?.known ?? []);
  }
  const forgotten = ['overlap', 'cutover'].map((slug) => known.find(({ app }) => app.slug === slug));
  const given = known.filter((client) => !forgotten.includes(client));
  for (const client of given) welcome(client, before, [await giveAgain(client, scene)]);
  remark(`${given.length} given again`);
}

/** Once the server was looked at, where the store tells what was. */
function undoubtedRecord({ ref }: FaultClient, { raw }: Scene<Losable>): Promise<StoredRecord> {
  return until(`${ref} is known`, async () => {
    const [record, doubted] = await raw.hmget(`{rekeyd}:store:client:${ref}`, 'record', 'doubted');
    const held: StoredRecord | null = JSON.parse(record ?? 'null');
    return doubted === null && held !== null && !held.doubted && held;
  });
}

/** Of one client: what the server shows, and which of that the store knows by its thumbprint. */
interface Before {
  readonly shown: readonly JwkMembers[];
  readonly known: readonly string[];
}

async function shownBefore({ ref, app, id }: FaultClient, { raw, emulator }: Scene<Losable>): Promise<Before> {
  const held: StoredRecord | null = JSON.parse((await raw.hget(`{rekeyd}:store:client:${ref}`, 'record')) ?? 'null');
  const shown = (emulator.client(DEPLOYMENT, app.slug, id).jwks?.keys ?? []).map((key) => ({ ...key }));
  return { shown, known: (held?.keys ?? []).map(({ thumbprint }) => thumbprint) };
}

/** The server may go on showing keys that rekeyd does not know any more. */
function welcome(
  { ref, visitors, foreign }: FaultClient,
  before: ReadonlyMap<string, Before>,
  known: readonly string[],
): void {
  const ours = [...known, ...foreign.map(thumbprintOf)];
  visitors.push(...(before.get(ref)?.shown ?? []).filter((key) => !ours.includes(thumbprintOf(key))));
}

/**
 * The key that the server shows is in the key folder of the client: as the current one, or as another one where a rotation was under way.
 * @returns its thumbprint
 */
async function giveAgain(client: FaultClient, scene: Scene<Losable>): Promise<string> {
  const { command, entrust } = scene;
  const { ref, folder } = client;
  entrust(client, 'its key is imported from its folder', 'folder');
  const failures: string[] = [];
  for (const name of ['current', 'next', 'previous']) {
    const file = join(folder, `${name}.jwk.json`);
    if (!existsSync(file)) continue;
    try {
      return JSON.parse(await command('keys', 'import', ref, '--file', file, '--enroll', '--json')).thumbprint;
    } catch (error) {
      failures.push(String(error));
    }
  }
  throw new Error(`no key in ${folder} can be imported: ${failures.join('; ')}`);
}

function lossOf(loss: Loss): Kind {
  return kindOf<Losable>({
    name: loss.name,
    async open(place: Place) {
      const stage = await openStage(place, { fleet: { apps } });
      return { ...stage, other: await makeOtherStore(place, stage) };
    },
    crew: (dice) => ({ size: dice.between(1, 3), machines: dice.between(1, 3) }),
    async play(scene) {
      const { ask, chance, pool, seed } = scene;
      ask();
      await delay(chance.between(0, 2_500));
      await loss.lose(scene);
      const lostAt = performance.now();
      void ask();
      for (let kills = chance.between(1, 3); kills > 0; kills -= 1) {
        await delay(chance.between(300, 1_500));
        pool.kill();
      }
      await delay(Math.max(0, lostAt + LATEST_MS - performance.now()));
      await judgeFolders(scene);
      if (seed % 2 === 1) await restore(scene, loss);
      else await goOn(scene);
      await ask();
    },
  });
}

export const emptied = lossOf({
  name: 'emptied',
  // With all connections as they are.
  lose: async ({ raw }) => void (await raw.call('FLUSHALL')),
  restore: ({ redis }) => undoFlush(logOf(redis)),
});

export const replaced = lossOf({
  name: 'replaced',
  lose: (scene) => exchange(scene, 'lost', 'replaced', () => putInPlace(scene.redis, scene.other)),
  restore: ({ redis }) => putBack(redis),
});

export const rolledBack = lossOf({
  name: 'rolled-back',
  async lose(scene) {
    const { dir, redis, raw, chance, ask } = scene;
    const copy = join(dir, 'older');
    if (chance.next() < 0.5) copyLog(redis, copy);
    else await copySnapshot(redis, copy);
    const size = Number(await raw.get('{rekeyd}:store:audit:size'));
    await ask();
    await until('what was done since is noted on every machine', async () => {
      const noted = await Promise.all(machinesOf(scene).map((machine) => notedSize(machine)));
      return noted.every((entries) => entries > size);
    });
    await exchange(scene, 'lost', 'rolled back', () => putInPlace(redis, copy));
  },
  restore: ({ redis }) => putBack(redis),
});
