/**
 * Applications that sign in with keys of their own beside others that are rotated every few seconds: some whose key rekeyd has a copy of, some that it only
 * finds in the lists, and some that are registered while the workers run. Ticks come all the time, workers die and start again. Later a person entrusts a
 * few of them to rekeyd, in each way that there is.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/patient.ts';
import { recordOf } from '../actors/asking.ts';
import type { AppSetting, NewClient } from '../stage/apps.ts';
import type { FaultClient } from '../stage/fleet.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';
import { endSeason, type Season } from '../trouble/season.ts';

const ENROLLED: NewClient = { alg: 'ES256' };
const HELD: NewClient = { alg: 'ES256', enrolment: 'held' };
const FOUND: NewClient = { alg: 'ES256', enrolment: 'found' };

const TICKS = { schedule: '*/2 * * * * *', rotate_every: '3s' };

/** Both ways in which servers pick a key. */
const apps: readonly AppSetting[] = [
  {
    slug: 'overlap',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', ...TICKS },
    ends: 'finished',
    // A key that is reported is gone at once. An application that signs with a key of its own still has one try.
    logins: 'two',
    clients: [ENROLLED, ENROLLED, HELD, HELD, FOUND, FOUND, FOUND],
  },
  {
    slug: 'cutover',
    selection: 'first_pem',
    policy: TICKS,
    ends: 'finished',
    logins: 'two',
    clients: [ENROLLED, ENROLLED, HELD, HELD, FOUND, { ...FOUND, alg: 'RS256' }, FOUND],
  },
];

/** Where its application signs in with a key of its own, and rekeyd has a copy of it. */
async function enroll(client: FaultClient, { entrust, command }: Scene<Season>): Promise<void> {
  entrust(client, 'enrolled', 'folder');
  await command('enroll', client.ref);
}

/** Its application goes on with its own key until there is a folder that has it. */
async function giveKey(client: FaultClient, scene: Scene<Season>): Promise<void> {
  const file = join(scene.dir, `${client.id}.pem`);
  await writeFile(file, client.initial.privateKey.export({ format: 'pem', type: 'pkcs8' }));
  await scene.command('keys', 'import', client.ref, '--file', file, '--alg', client.initial.alg);
  await enroll(client, scene);
}

/** Its application tries the keys of its folder as soon as its own one is refused. */
async function takeOver(client: FaultClient, scene: Scene<Season>): Promise<void> {
  scene.entrust(client, 'taken over', 'own, then folder');
  // Rekeyd never has its own key: it may stand there like anybody's.
  client.visitors.push({ ...client.initial.jwk });
  await scene.ask({ select: { clients: [client.ref] }, take_over: true });
  await moveOver(client, scene);
}

/** A named compromise goes through as well. */
async function report(client: FaultClient, scene: Scene<Season>): Promise<void> {
  scene.entrust(client, 'reported', 'own, then folder');
  await scene.ask({ select: { clients: [client.ref] }, compromised: true });
  await moveOver(client, scene);
}

/** Its own key is given up once a key that rekeyd made is in use. */
async function moveOver(client: FaultClient, { raw }: Scene<Season>): Promise<void> {
  await until(`${client.ref} has a key of ours`, async () => {
    const record = await recordOf(raw, client.ref);
    return record?.keys.some(({ state, kid }) => state === 'active' && kid !== client.initial.kid);
  });
  client.signing = 'folder';
}

const WAYS: Readonly<
  Record<'held' | 'found', readonly ((client: FaultClient, scene: Scene<Season>) => Promise<void>)[]>
> = { held: [enroll, report], found: [giveKey, takeOver] };

/** One of each kind, in each way; the others are left alone for good. */
async function entrustSome(scene: Scene<Season>): Promise<void> {
  for (const slug of ['overlap', 'cutover']) {
    for (const kind of ['held', 'found'] as const) {
      const mine = scene.clients.filter(({ app, enrolment }) => app.slug === slug && enrolment === kind);
      const way = scene.chance.pick(WAYS[kind]);
      const chosen = scene.chance.pick(mine);
      await way(chosen, scene);
    }
  }
}

/** A list that took long to read is left alone for fifty times as long: on a busy machine that is half a minute. */
const FOUND_MS = 120_000;

/** Every client that is registered is found sooner or later. */
async function untilFound({ clients, raw }: Scene<Season>): Promise<void> {
  for (const { ref } of clients)
    await until(`${ref} is found`, async (saw) => saw(await recordOf(raw, ref)) !== null, FOUND_MS);
}

/** Ticks do something, or it would be no wonder that strangers are left alone. */
async function untilRotated({ clients, raw }: Scene<Season>, times: number): Promise<void> {
  const enrolled = clients.filter(({ enrolment }) => enrolment === 'enrolled');
  for (const { ref } of enrolled) {
    await until(
      `${ref} is rotated`,
      async (saw) => saw(await raw.llen(`{rekeyd}:store:history:${ref}`)) >= times,
      120_000,
    );
  }
}

export const strangers = kindOf<Season>({
  name: 'strangers',
  async open(place) {
    return { ...(await openStage(place, { fleet: { apps } })), season: { isOn: true } };
  },
  crew: (dice, { season }) => ({ size: dice.between(2, 3), machines: dice.between(1, 2), schedule: () => season.isOn }),
  async play(scene) {
    const { pool, chance, register } = scene;
    await untilRotated(scene, 1);
    for (const slug of ['overlap', 'cutover', 'overlap', 'cutover']) {
      register(slug, FOUND);
      await delay(chance.between(100, 1_500));
      pool.kill();
    }
    await untilFound(scene);
    await untilRotated(scene, 2);
    // A fresh start of everything.
    await pool.away(async () => {});
    await entrustSome(scene);
    pool.kill();
    await untilRotated(scene, 3);
    await endSeason(scene);
  },
});
