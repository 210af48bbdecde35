/**
 * The way in, while workers die and ticks come all the time. Held clients are enrolled by what their signers report, and by no report that anybody forged. A key
 * that nobody signs in with is not imported. Keys are offered beside those of found clients, and taken by a signer, by a person, or by nobody. One app is
 * probed first: from then on its rotations overlap, and no disposable client is left.
 */
import { writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { recordOf } from '../actors/asking.ts';
import type { AppSetting, NewClient } from '../stage/apps.ts';
import { DEPLOYMENT, type FaultClient } from '../stage/fleet.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';
import { amidKills, endSeason, entriesOf, type Season, soon } from '../trouble/season.ts';

const HELD: NewClient = { alg: 'ES256', enrolment: 'held' };
const FOUND: NewClient = { alg: 'ES256', enrolment: 'found' };

const TICKS = { schedule: '*/2 * * * * *', rotate_every: '3s' };

const TAKEN: AppSetting = {
  slug: 'taken',
  selection: 'first_pem',
  policy: TICKS,
  ends: 'finished',
  logins: 'two',
  clients: [{ alg: 'ES256' }, HELD, HELD, FOUND, FOUND],
};

const OFFERED: AppSetting = {
  slug: 'offered',
  selection: 'jwks_kid',
  policy: { strategy: 'overlap', adopt: 'overlap', adopt_timeout: '30s', ...TICKS },
  ends: 'finished',
  logins: 'one',
  clients: [FOUND, FOUND, FOUND],
};

/** Nobody says that its server takes several keys: a probe finds it out before the first rotation. */
const LEARNED: AppSetting = {
  slug: 'learned',
  selection: 'jwks_kid',
  policy: { probe: 'auto', ...TICKS },
  ends: 'finished',
  logins: 'one',
  clients: [{ alg: 'ES256' }, { alg: 'ES256' }],
};

/** A worker dies while it probes, or a little before or after. */
async function untilLearned(scene: Scene<Season>): Promise<void> {
  const { raw, pool, chance } = scene;
  await delay(chance.between(500, 6_000));
  pool.kill();
  const isKnown = async () => (await raw.hexists(`{rekeyd}:store:app:${DEPLOYMENT}/${LEARNED.slug}`, 'findings')) === 1;
  await soon(scene, 'the app is probed', isKnown);
}

/** Where a disposable client would send people (RFC 6761). */
const PROBES = 'https://rekeyd-probe.invalid/';

async function judgeLearned({ raw, emulator, clients, accuse }: Scene<Season>): Promise<void> {
  for (const { id, redirect_uris: uris, is_active: isActive } of emulator.clients(DEPLOYMENT, LEARNED.slug)) {
    if (!uris.some((uri) => uri.startsWith(PROBES))) continue;
    const ref = `${DEPLOYMENT}/${LEARNED.slug}/${id}`;
    if (isActive) accuse('probe_left', ref, 'a disposable client is still active');
    if ((await recordOf(raw, ref)) !== null) accuse('probe_left', ref, 'a disposable client is taken for a client');
  }
  for (const { ref, app } of clients) {
    if (app !== LEARNED) continue;
    for (const ended of await raw.lrange(`{rekeyd}:store:history:${ref}`, 0, -1)) {
      const { id, strategy } = JSON.parse(ended);
      if (strategy !== 'overlap')
        accuse('strategy', ref, `rotation ${id} was a ${strategy}, and its server takes several keys`);
    }
  }
}

/** Ticks that a client is left alone through before anything is done for it, in ms. */
const ALONE_MS = 4_000;

function forgeReports({ folder, initial }: FaultClient): void {
  const ago = new Date(Date.now() - 300_000).toISOString();
  const now = new Date().toISOString();
  const put = (name: string, report: object) =>
    writeFileSync(join(folder, 'signers', `${name}.json`), JSON.stringify(report));
  put('forged-1', { kids: ['nobody'], signing: 'nobody', at: now });
  put('dead-1', { kids: [initial.kid], signing: initial.kid, at: ago });
  put('idle-1', { kids: [initial.kid], signing: null, at: now });
}

async function untilEnrolled(scene: Scene<Season>, { ref }: FaultClient): Promise<void> {
  const isEnrolled = async () => (await recordOf(scene.raw, ref))?.enrolment === 'enrolled';
  await soon(scene, `${ref} is enrolled`, isEnrolled);
}

/** Its application reads its key folder from now on, and says so. */
async function readFolder(scene: Scene<Season>, client: FaultClient): Promise<void> {
  scene.entrust(client, 'its signer reports', 'folder');
  await untilEnrolled(scene, client);
}

/** First while nobody can sign in with it. Its application goes on with a copy of its own. */
async function importKey(scene: Scene<Season>, { ref, id, clientId, initial }: FaultClient): Promise<void> {
  const { raw, emulator, dir, command, accuse } = scene;
  await soon(scene, `${ref} is found`, async () => (await recordOf(raw, ref)) !== null);
  const file = join(dir, `${id}.pem`);
  await writeFile(file, initial.privateKey.export({ format: 'pem', type: 'pkcs8' }));
  const run = () => command('keys', 'import', ref, '--file', file, '--alg', initial.alg);
  const match = { client: clientId, path: /introspect$/ };
  emulator.faults.add({ kind: 'sign_in_refused', reason: 'invalid_signature', match, times: Number.POSITIVE_INFINITY });
  const isTaken = await run().then(
    () => true,
    () => false,
  );
  if (isTaken) accuse('held_unproven', ref, 'a key was imported that the server refuses');
  emulator.faults.clear();
  await run();
  await delay(ALONE_MS);
}

/** Until a key of ours lies ready for each of them. */
async function untilOffered(scene: Scene<Season>, clients: readonly FaultClient[]): Promise<void> {
  for (const { ref } of clients) {
    const isOffered = async () => (await recordOf(scene.raw, ref))?.rotation?.phase.name === 'offered';
    await soon(scene, `${ref} is offered a key`, isOffered);
  }
}

async function takeOffers(scene: Scene<Season>): Promise<void> {
  const { clients, entrust, command } = scene;
  const mine = clients.filter(({ app }) => app === OFFERED);
  await untilOffered(scene, mine);
  const [reporting, named, silent] = mine;
  if (!reporting || !named || !silent) throw new Error('the fleet is larger');
  entrust(named, 'a person says so', 'own, then folder');
  await Promise.all([readFolder(scene, reporting), command('enroll', named.ref)]);
  named.signing = 'folder';
  const isBack = async () => (await entriesOf(scene, 'client.found')).filter(({ client }) => client === silent.ref);
  await soon(scene, `the offer to ${silent.ref} is over`, async () => (await isBack()).length > 1);
}

export const enrolment = kindOf<Season>({
  name: 'enrolment',
  async open(place) {
    return { ...(await openStage(place, { fleet: { apps: [TAKEN, OFFERED, LEARNED] } })), season: { isOn: true } };
  },
  crew: (dice, { season }) => ({ size: dice.between(2, 3), machines: dice.between(1, 2), schedule: () => season.isOn }),
  async play(scene) {
    const mine = scene.clients.filter(({ app }) => app === TAKEN);
    const [, reported, forged, imported] = mine;
    if (!reported || !forged || !imported) throw new Error('the fleet is larger');
    forgeReports(forged);
    scene.atRest(() => judgeLearned(scene));
    await untilLearned(scene);
    await amidKills(scene, async () => {
      const offers = takeOffers(scene);
      await importKey(scene, imported);
      for (const client of [reported, imported]) await readFolder(scene, client);
      await offers;
    });
    await endSeason(scene);
    scene.remark(`${(await entriesOf(scene, 'client.enrolled')).length} enrolled`);
  },
});
