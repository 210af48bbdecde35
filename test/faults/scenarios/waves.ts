/**
 * Fleets that are due all at once, one because its policy names another alg, one because its keys are old; and workers that die all the time. The server refuses
 * the first keys of the other alg, so that wave has to stop, and stay stopped until a person has seen to it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isBusy, recordOf } from '../actors/asking.ts';
import type { AppSetting, NewClient } from '../stage/apps.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';
import { amidKills, endSeason, entriesOf, type Season, soon } from '../trouble/season.ts';

const times = (count: number): readonly NewClient[] => Array.from({ length: count }, () => ({ alg: 'ES256' }));

const SCHEDULE = '*/2 * * * * *';

const RENEWED: AppSetting = {
  slug: 'renewed',
  selection: 'first_pem',
  policy: { schedule: SCHEDULE, alg: 'ES384', cohort: { first: '25%', then: '1s', stop_after: 2 } },
  believed: 'ES384',
  ends: 'finished',
  // Whoever tries the old key just before a cutover, and the new one just after it was taken back, is refused twice.
  logins: 'none',
  clients: times(12),
};

/** The first keys take longer to be proven than the others would wait for nothing. */
const AGED: AppSetting = {
  slug: 'aged',
  selection: 'jwks_kid',
  policy: {
    schedule: SCHEDULE,
    strategy: 'overlap',
    propagation: '3s',
    rotate_every: '20s',
    cohort: { first: '10%', then: '1s', stop_after: 1 },
  },
  ends: 'finished',
  logins: 'one',
  clients: times(24),
};

/** For how long a stopped wave is watched, in ms: several ticks. */
const STOPPED_MS = 6_000;

/** Nobody can sign in with a new key, whatever the server really makes of it. */
async function untilStopped(scene: Scene<Season>): Promise<void> {
  const { emulator, history, clients, raw } = scene;
  const match = { app: RENEWED.slug, path: /introspect$/ };
  history.note({ kind: 'api', fault: 'proofs of one app are refused' });
  emulator.faults.add({
    kind: 'sign_in_refused',
    reason: 'invalid_signature',
    when: 'after',
    match,
    times: Number.POSITIVE_INFINITY,
  });
  const mine = clients.filter(({ app }) => app === RENEWED).map(({ ref }) => ref);
  await soon(scene, 'the wave of another alg is stopped', async () => {
    // Or all of it has begun, and nothing is left to be stopped.
    const begun = new Set((await entriesOf(scene, 'rotation.started')).map(({ client }) => client));
    return (await isStopped(scene)) || mine.every((ref) => begun.has(ref));
  });
  await delay(STOPPED_MS);
  const isAtRest = async () => (await Promise.all(mine.map((ref) => recordOf(raw, ref)))).every((one) => !isBusy(one));
  // A wave that was not stopped is tried again all the time.
  if (await isStopped(scene)) await soon(scene, 'what was begun has come to its end', isAtRest);
  emulator.faults.clear();
}

async function isStopped(scene: Scene<Season>): Promise<boolean> {
  return (await entriesOf(scene, 'policy.stopped')).length > 0;
}

/** What the cohort came to, or comes to yet, is what somebody has made of it. */
async function forgive(scene: Scene<Season>): Promise<void> {
  const { clients, history, raw } = scene;
  const mine = clients.filter(({ app }) => app === RENEWED).map(({ ref }) => ref);
  const busy = (await Promise.all(mine.map(async (ref) => (isBusy(await recordOf(raw, ref)) ? [ref] : [])))).flat();
  const rolledBack = (await entriesOf(scene, 'rotation.rolled_back')).flatMap(({ client }) => client ?? []);
  for (const ref of new Set([...busy, ...rolledBack]))
    history.note({ kind: 'edit', ref, what: 'its server refused the new key' });
  if (await isStopped(scene)) await scene.command('resume', '--policy', RENEWED.slug);
}

async function untilRotated(scene: Scene<Season>): Promise<void> {
  await soon(scene, 'everybody is rotated', async () => {
    for (const { ref, app, initial } of scene.clients) {
      const active = (await recordOf(scene.raw, ref))?.keys.find(({ state }) => state === 'active');
      if (app === RENEWED ? active?.alg !== 'ES384' : active?.kid === initial.kid) return false;
    }
    return true;
  });
}

export const waves = kindOf<Season>({
  name: 'waves',
  async open(place) {
    return { ...(await openStage(place, { fleet: { apps: [RENEWED, AGED] } })), season: { isOn: true } };
  },
  crew: (dice, { season }) => ({ size: dice.between(2, 3), machines: dice.between(1, 2), schedule: () => season.isOn }),
  loginEveryMs: 600,
  async play(scene) {
    await amidKills(scene, async () => {
      await untilStopped(scene);
      await forgive(scene);
      await untilRotated(scene);
    });
    await endSeason(scene);
    const begun = (await entriesOf(scene, 'rotation.started')).length;
    scene.remark(`${begun} begun, ${(await entriesOf(scene, 'policy.stopped')).length} stops`);
  },
});
