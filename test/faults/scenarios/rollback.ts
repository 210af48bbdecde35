/**
 * A person takes rotations back while workers die: the previous keys come back, and schedules leave those clients alone until somebody resumes them. One is
 * given back to its owner, and one belongs to a policy that is frozen.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isBusy, recordOf } from '../actors/asking.ts';
import type { AppSetting, NewClient } from '../stage/apps.ts';
import type { FaultClient } from '../stage/fleet.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';
import { amidKills, endSeason, entriesOf, type Season, soon, turnSeason } from '../trouble/season.ts';

const ENROLLED: NewClient = { alg: 'ES256' };

/** Long enough for a person to think about it. */
const OVERLAP = '15s';

/** Due all the time. */
const TICKS = { schedule: '*/2 * * * * *', rotate_every: '3s' };

const DAY_MS = 86_400_000;
const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** From yesterday to tomorrow. */
const FREEZE = `${dayOf(Date.now() - DAY_MS)}/${dayOf(Date.now() + DAY_MS)}`;

const apps: readonly AppSetting[] = [
  {
    slug: 'back-overlap',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', overlap: OVERLAP, ...TICKS },
    ends: 'finished',
    logins: 'one',
    clients: [ENROLLED, ENROLLED, ENROLLED],
  },
  {
    slug: 'back-cutover',
    selection: 'first_pem',
    policy: { overlap: OVERLAP, ...TICKS },
    ends: 'finished',
    logins: 'two',
    clients: [ENROLLED, ENROLLED, ENROLLED],
  },
  {
    slug: 'frozen',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', freeze: [FREEZE], ...TICKS },
    ends: 'finished',
    logins: 'one',
    clients: [ENROLLED],
  },
];

/** Its new key is in use, and the old one still there. */
async function untilReplaced(scene: Scene<Season>, { ref }: FaultClient): Promise<void> {
  await soon(scene, `the key of ${ref} is replaced`, async () => {
    const record = await recordOf(scene.raw, ref);
    return record?.rotation === null && record.retirements.length > 0;
  });
}

async function rollBack(scene: Scene<Season>, client: FaultClient): Promise<void> {
  const { ref } = client;
  await untilReplaced(scene, client);
  const { clients } = JSON.parse(await scene.command('rollback', ref, '--reason', 'the partner refuses it', '--json'));
  const [{ rotation, kid: restores, replaces }] = clients;
  scene.history.note({ kind: 'undone', ref, rotation, restores, replaces });
}

async function isBegun(scene: Scene<Season>, { ref }: FaultClient): Promise<boolean> {
  const started = await entriesOf(scene, 'rotation.started');
  return started.some(({ client, actor }) => client === ref && actor.startsWith('schedule:'));
}

async function untilBegun(scene: Scene<Season>, client: FaultClient): Promise<void> {
  await soon(scene, `a schedule rotates ${client.ref}`, () => isBegun(scene, client));
}

/** The owner has the very key that is in use. */
async function release(scene: Scene<Season>, client: FaultClient): Promise<void> {
  const { ref, folder } = client;
  const { raw, dir, command, history, accuse } = scene;
  await soon(scene, `nothing is left to do for ${ref}`, async () => {
    return !isBusy(await recordOf(raw, ref)) || (await isBegun(scene, client));
  });
  // A pause that does not hold it back is judged by the checker.
  if (await isBegun(scene, client)) return;
  const file = join(dir, 'released.jwk.json');
  history.note({ kind: 'released', ref });
  await command('release', ref, '--to', file);
  const [handed, current] = await Promise.all(
    [file, join(folder, 'current.jwk.json')].map(async (one) => JSON.parse(await readFile(one, 'utf8'))),
  );
  if (handed.d !== current.d) accuse('released', ref, 'its owner was handed another key than the one in use');
}

export const rollback = kindOf<Season>({
  name: 'rollback',
  async open(place) {
    return { ...(await openStage(place, { fleet: { apps } })), season: { isOn: false } };
  },
  crew: (dice, { season }) => ({ size: dice.between(2, 3), machines: dice.between(1, 2), schedule: () => season.isOn }),
  async play(scene) {
    const { clients, chance, command, ask } = scene;
    const of = (slug: string) => clients.filter(({ app }) => app.slug === slug);
    const [resumed, released, scheduled] = of('back-overlap');
    const [held, , alsoScheduled] = of('back-cutover');
    if (!resumed || !released || !scheduled || !held || !alsoScheduled) throw new Error('the fleet is larger');
    const undone = [resumed, released, held];
    await amidKills(scene, async () => {
      void ask();
      await Promise.all(undone.map((client) => rollBack(scene, client)));
      await turnSeason(scene, true);
      await untilBegun(scene, chance.pick([scheduled, alsoScheduled]));
      await release(scene, released);
      await command('resume', resumed.ref);
      await untilBegun(scene, resumed);
    });
    await endSeason(scene);
    scene.remark(`${undone.length} undone`);
  },
});
