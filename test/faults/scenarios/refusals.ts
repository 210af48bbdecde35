/**
 * The API refuses (401), forbids (403) or puts off (429): some clients only, or everybody; for a moment, or for long; several of these at once. What concerns
 * one client is no matter of the others, and an API key that is refused pauses its deployment until it is accepted again.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { CHANGE } from '../../emulator/fault-rules.ts';
import { until } from '../../support/patient.ts';
import { isBusy, recordOf } from '../actors/asking.ts';
import { APPS } from '../stage/apps.ts';
import { API_KEY, DEPLOYMENT, type FaultClient } from '../stage/fleet.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import { RETRY_AFTER_S } from '../stage/testbed.ts';

type Act = (scene: Scene<Stage>) => Promise<void>;

const FOREVER = Number.POSITIVE_INFINITY;

/** A pause is tried 5 s after it began, then 10 s later, and so on. */
const PATIENCE_MS = 240_000;

function someOf(count: number, { clients, chance }: Scene<Stage>): readonly FaultClient[] {
  const from = clients.filter(({ enrolment }) => enrolment === 'enrolled');
  return Array.from({ length: count }, () => chance.pick(from));
}

/** Beside others that are accepted. */
const passingRefusal: Act = async (scene) => {
  const { emulator, chance, history } = scene;
  for (const { id, ref } of someOf(chance.between(1, 2), scene)) {
    const status = chance.pick([401, 403] as const);
    history.note({ kind: 'api', fault: `${status} for ${ref}, a few times` });
    const match = { ...CHANGE, client: id };
    emulator.faults.add({ kind: 'status', status, match, times: chance.between(1, 4) });
  }
  await delay(chance.between(500, 2_000));
};

/** One client may not be changed at all: all others are. */
const oneForbidden: Act = async (scene) => {
  const { emulator, history, ask, clients, raw, accuse, chance } = scene;
  const [chosen] = someOf(1, scene);
  if (chosen === undefined) return;
  const status = chance.pick([401, 403] as const);
  history.note({ kind: 'api', fault: `${status} for ${chosen.ref}, always` });
  emulator.faults.add({ kind: 'status', status, match: { ...CHANGE, client: chosen.id }, times: FOREVER });
  await ask();
  await until('all others are done', async () => {
    const others = clients.filter((client) => client !== chosen);
    const records = await Promise.all(others.map(({ ref }) => recordOf(raw, ref)));
    return !records.some(isBusy);
  }).catch((error: unknown) => accuse('starved', chosen.ref, String(error)));
  emulator.faults.clear();
};

/** The API key is refused, or may only read: nothing more is sent but for a try now and then. */
const keyRefused: Act = async ({ emulator, chance, history, raw, accuse, ask }) => {
  const isRevoked = chance.next() < 0.5;
  history.note({ kind: 'api', fault: isRevoked ? 'the API key is revoked' : 'the API key may only read' });
  if (isRevoked) emulator.revokeApiKey(API_KEY);
  else emulator.setApiKey(DEPLOYMENT, API_KEY, 'read');
  ask();
  await until('the deployment is paused', async () => {
    return (await raw.hget(`{rekeyd}:store:deployment:${DEPLOYMENT}`, 'paused_by')) !== null;
  }).catch((error: unknown) => accuse('pause', null, String(error)));
  await delay(chance.between(1_000, 6_000));
  emulator.setApiKey(DEPLOYMENT, API_KEY);
};

const putOff: Act = async (scene) => {
  const { emulator, chance, history } = scene;
  const message = `Rate limit exceeded. Retry after ${RETRY_AFTER_S} seconds`;
  const chosen = chance.next() < 0.5 ? someOf(1, scene).map(({ id }) => ({ method: 'PATCH', client: id })) : [];
  const matches = chosen.length === 0 ? [{ path: /^\/deployments\// }] : chosen;
  history.note({ kind: 'api', fault: `429 for ${chosen.length === 0 ? 'everybody' : 'one'}` });
  for (const match of matches) {
    const rule = { kind: 'status', status: 429, message, match, times: chance.between(1, 3) } as const;
    emulator.faults.add(chance.next() < 0.5 ? { ...rule, retryAfter: RETRY_AFTER_S } : rule);
  }
  await delay(chance.between(500, 3_000));
};

export const refusals = kindOf<Stage>({
  name: 'refusals',
  open: (place) => openStage(place, { fleet: { apps: APPS } }),
  crew: (dice) => ({ size: dice.between(1, 3), machines: dice.between(1, 2) }),
  patienceMs: PATIENCE_MS,
  async play(scene) {
    const { chance, ask, pool } = scene;
    const acts = [passingRefusal, putOff, oneForbidden, passingRefusal, keyRefused, putOff];
    const first = chance.between(0, acts.length - 1);
    for (const [index] of acts.entries()) {
      ask();
      await delay(chance.between(50, 800));
      await acts[(first + index) % acts.length]?.(scene);
      if (chance.next() < 0.3) pool.kill();
    }
  },
});
