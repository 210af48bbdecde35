/** The API is gone, answers slowly and half of the time with an error, or tells everybody to come back later. Applications sign in all the while. */
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultRule } from '../../emulator/faults.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import { RETRY_AFTER_S } from '../stage/testbed.ts';
import { lateWrites } from './random.ts';

/** What rekeyd asks for; logins go elsewhere. */
const MANAGEMENT = { path: /^\/deployments\// };
const PROOFS = { path: /introspect$/ };

const ALWAYS = Number.POSITIVE_INFINITY;

type Act = (scene: Scene<Stage>) => Promise<void>;

/** Longer than a PATCH without an answer can matter (8 s): what became of those has to be read before anything goes on. */
const outage: Act = async ({ emulator: { faults }, chance, history }) => {
  const ms = chance.between(9_000, 12_000);
  history.note({ kind: 'api', fault: `gone for ${ms} ms` });
  for (const match of [MANAGEMENT, PROOFS]) {
    const [when, status] = [chance.pick(['before', 'after'] as const), chance.pick([502, 503, 504] as const)];
    const rule: FaultRule = chance.next() < 0.5 ? { kind: 'drop', when } : { kind: 'status', status, when };
    faults.add({ ...rule, match, times: ALWAYS });
  }
  await delay(ms);
  faults.clear();
};

const brownOut: Act = async ({ emulator: { faults }, chance, history }) => {
  history.note({ kind: 'api', fault: 'slow, and half of it fails' });
  for (const end = performance.now() + chance.between(5_000, 8_000); performance.now() < end; ) {
    for (const match of [MANAGEMENT, PROOFS]) {
      faults.add({ kind: 'latency', ms: chance.between(100, 1_300), match, times: ALWAYS });
      if (chance.next() < 0.5) {
        const when = chance.pick(['before', 'after'] as const);
        faults.add({ kind: 'status', status: chance.pick([500, 503] as const), when, match, times: ALWAYS });
      }
    }
    await delay(chance.between(50, 400));
    faults.clear();
  }
};

const storm: Act = async ({ emulator: { faults }, chance, history }) => {
  history.note({ kind: 'api', fault: 'come back later, everybody' });
  const message = `Rate limit exceeded. Retry after ${RETRY_AFTER_S} seconds`;
  const retryAfter = chance.next() < 0.5 ? { retryAfter: RETRY_AFTER_S } : {};
  faults.add({ kind: 'status', status: 429, message, ...retryAfter, match: MANAGEMENT, times: ALWAYS });
  await delay(chance.between(4_000, 6_000));
  faults.clear();
};

export const api = kindOf({
  name: 'api',
  open: (place, dice) => openStage(place, { everysec: lateWrites(dice) }),
  crew: (dice) => ({ size: dice.between(1, 3) }),
  async play(scene) {
    const acts = [outage, brownOut, storm];
    const first = scene.chance.between(0, 2);
    for (const index of [0, 1, 2]) {
      scene.ask();
      await delay(scene.chance.between(0, 1_500));
      await acts[(first + index) % acts.length]?.(scene);
    }
  },
});
