/**
 * Programs ask for rotations over HTTP, and listen to what becomes of them, while workers die, Redis goes away and connections break. Each repeats its call
 * until it has an answer. In the middle of it a token is revoked.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  type ApiCall,
  type Bearer,
  isRefusedEverywhere,
  makeToken,
  openCallers,
  revokeToken,
  strike,
} from '../actors/callers.ts';
import { listen } from '../actors/listeners.ts';
import { APPS } from '../stage/apps.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { enrolled, openServed, type Served, servingCrew } from '../stage/serving.ts';
import { breakRedis, breakThings } from '../trouble/chaos.ts';

const ROUNDS = 2;

/** The calls of one round begin within that time, in ms: what befalls a worker befalls them at different steps. */
const SPREAD_MS = 2_000;

const WORKERS = 3;

/** One calls for a compromise now and then: whoever signs in just then tries again. */
const apps = APPS.filter(({ slug }) => ['overlap', 'cutover', 'served'].includes(slug)).map((app) => ({
  ...app,
  logins: 'two' as const,
}));

/** Several times in a row: what one of them took away is written again, and taken away again. */
const POWER_CUTS = 4;

/** What is asked, by name. */
function bodyOf(name: string, select: object, compromised: boolean): object {
  return { select, reason: name, compromised };
}

export const http = kindOf<Served>({
  name: 'http',
  open: (place, dice) => openServed(place, { apps }, WORKERS, dice),
  crew: (_dice, testbed) => servingCrew(testbed),
  loginEveryMs: 300,
  async play(scene) {
    const { chance, history, ports } = scene;
    const callers = openCallers({ ports, history, chance: chance.branch('callers') });
    const [siem, pager, reader] = await Promise.all([
      makeToken(scene, 'siem', 'rotate,read'),
      makeToken(scene, 'pager', 'rotate,read'),
      makeToken(scene, 'reader', 'read'),
    ]);
    const work: Promise<unknown>[] = [];
    let [calls, streams] = [0, 0];

    /** Two programs make the same call at the same moment. One of them listens to what comes of it. */
    async function ask(bearer: Bearer, select: object, compromised: boolean): Promise<void> {
      calls += 1;
      const name = `call-${scene.seed}-${calls}`;
      await delay(chance.between(0, SPREAD_MS));
      const call: ApiCall = {
        name,
        bearer,
        due: 'effect',
        path: '/v1/rotations',
        body: bodyOf(name, select, compromised),
      };
      if (chance.next() < 0.5) await strike(scene, callers, call);
      const [answer] = await Promise.all([callers.call(call), callers.call(call)]);
      if (answer === null) scene.accuse('unanswered', null, `${name} was never answered`);
      const rotations = answer?.status === 202 ? answer.rotations : [];
      scene.owe(rotations.map(({ id }) => id));
      await Promise.all(rotations.map(({ id }) => hear(id)));
    }

    async function hear(rotation: string): Promise<void> {
      streams += 1;
      const name = `listener-${streams}`;
      const cutAfter = chance.pick([1, 2, 5, Number.POSITIVE_INFINITY]);
      const isTold = await listen({
        history,
        ports,
        chance: chance.branch(name),
        bearer: siem,
        name,
        rotation,
        cutAfter,
      });
      if (!isTold) scene.accuse('events_open', null, `${name} was never told that ${rotation} is over`);
    }

    for (let round = 1; round <= ROUNDS; round += 1) {
      for (const client of enrolled(scene)) {
        if (chance.next() < 0.2) continue;
        const bearer = round === 1 && chance.next() < 0.5 ? pager : siem;
        work.push(ask(bearer, { clients: [client.ref] }, chance.next() < 0.3));
      }
      if (round === 1) work.push(ask(siem, { app: `${enrolled(scene)[0]?.ref.split('/', 2).join('/')}` }, false));
      await (round === 1 ? breakRedis(scene) : cutPower(scene));
      await breakThings(scene, 2);
      if (round === 1) await revokeAndAsk(scene, callers, pager, reader);
    }
    scene.emulator.faults.clear();
    await Promise.all(work);
    scene.remark(`${calls} calls, ${streams} streams`);
  },
});

async function cutPower({ proxy, disk, watch, history, chance }: Scene<Served>): Promise<void> {
  for (let cut = 1; cut <= POWER_CUTS; cut += 1) {
    await proxy.cut(async () => {
      const lost = await disk.powerCut(() => delay(100));
      history.note({ kind: 'redis', fault: `power cut ${cut} of ${POWER_CUTS} lost ${lost} bytes` });
      await watch.attach();
    });
    await delay(chance.between(50, 600));
  }
}

/** From then on every worker refuses it; and others that were never any good. */
async function revokeAndAsk(
  scene: Scene<Served>,
  callers: ReturnType<typeof openCallers>,
  revoked: Bearer,
  reader: Bearer,
): Promise<void> {
  const { history, ports } = scene;
  await revokeToken(scene, revoked);
  const bearers = [revoked, reader, { name: 'nobody', value: `rekeyd_${'A'.repeat(43)}` }];
  const select = { clients: enrolled(scene).map(({ ref }) => ref) };
  const refused = bearers.map(async (bearer) => {
    const name = `refused-${bearer.name}`;
    const call: ApiCall = { name, bearer, due: 'refusal', path: '/v1/rotations', body: bodyOf(name, select, false) };
    if (!(await isRefusedEverywhere(callers, history, ports, call)))
      scene.accuse('let_in', null, `${bearer.name} was not refused by each worker`);
  });
  await Promise.all(refused);
}
