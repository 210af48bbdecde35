/** All keys of a fleet leaked, and each client has another one ready: how fast the old ones are out of use. */
import { until } from '../support/patient.ts';
import { type Figure, judge, medians, type Scale } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import type { BareResult, Loop } from './lanes.ts';
import { onStage, type Setting, type Stage } from './stage.ts';
import { scaled } from './throughput.ts';

const CONCURRENCY = 50;

const SETTING: Setting = {
  ...{ appendfsync: 'always', strategy: 'cutover', clients: 1_000, concurrency: CONCURRENCY, alg: 'RS256' },
  standby: true,
};

/** As a policy has it that does not say otherwise. Such keys take long to make, so fewer clients show the pace. */
const MAKING: Setting = { ...SETTING, clients: 300, modulus: 3072 };
const MADE = 30;

const PATIENCE_MS = 600_000;
const PAGE = 1_000;

const WHAT = 'RS256 clients with a standby key ÷';

/** On a fleet that has its standby keys. */
function ready<T>(setting: Setting, { rounds }: Scale, oneRound: (stage: Stage) => Promise<T>): Promise<readonly T[]> {
  return onStage(setting, async (stage) => {
    await stage.startWorker();
    // Adopts the fleet, and ends when every client has a standby key.
    await rotateFleet(stage, []);
    const all: T[] = [];
    for (let round = 0; round < rounds; round += 1) all.push(await oneRound(stage));
    return all;
  });
}

export const p3: Figure = {
  ids: ['P3'],
  async measure(scale) {
    const rounds = await ready(scaled(SETTING, scale), scale, async (stage) => {
      const loop: Loop = { clients: stage.bareClients, lanes: CONCURRENCY, alg: 'RS256', strategy: 'cutover' };
      const { seconds } = await stage.bare.ask<BareResult>('replace', loop);
      const bare = stage.bareClients.length / seconds;
      return { bare_per_s: bare, rekeyd_per_s: await compromise(stage, { all: true }, true) };
    });
    const what = `compromise of 1,000 ${WHAT} loop of PATCH and both proofs`;
    const ratios = rounds.map(({ rekeyd_per_s: rekeyd, bare_per_s: bare }) => rekeyd / bare);
    return [judge({ id: 'P3', what, unit: 'ratio', goal: 0.5, baseline: medians(rounds) }, ratios)];
  },
};

export const p3Making: Figure = {
  ids: ['P3-making'],
  async measure(scale) {
    const rounds = await ready(scaled(MAKING, scale), scale, async (stage) => {
      const some = (await stage.resources.store.clientRefs()).slice(0, MADE);
      const making = await compromise(stage, { clients: some }, false);
      return { making_per_s: making, rekeyd_per_s: await compromise(stage, { all: true }, true) };
    });
    const what = `compromise of 300 ${WHAT} one that makes its keys of 3072 bits`;
    const ratios = rounds.map(({ rekeyd_per_s: rekeyd, making_per_s: making }) => rekeyd / making);
    return [judge({ id: 'P3-making', what, unit: 'ratio', goal: 20, baseline: medians(rounds) }, ratios)];
  },
};

/** @returns clients per second, from the request until every old key was seen to be refused; then waits for the standby keys */
async function compromise({ queues, resources: { store } }: Stage, select: object, keeps: boolean): Promise<number> {
  let last = await store.auditSize();
  const startedAt = performance.now();
  const reason = { reason: 'benchmark', actor: 'bench', confirm: true };
  const id = await queues.request({ v: 1, select, compromised: true, keep_standby: keeps, ...reason });
  let ended = 0;
  let asked: number | null = null;
  await until(
    'every old key is refused',
    async (saw) => {
      for (let page = await store.auditAfter(last, PAGE); page.length > 0; page = await store.auditAfter(last, PAGE)) {
        last = page.at(-1)?.seq ?? last;
        ended += page.filter(({ type }) => type === 'rotation.completed').length;
      }
      const job = asked === null ? await queues.requests.getJob(id) : undefined;
      if (job?.failedReason) throw new Error(job.failedReason);
      asked ??= job?.returnvalue?.rotations.length ?? null;
      return saw(ended) === asked;
    },
    PATIENCE_MS,
  );
  const perS = ended / ((performance.now() - startedAt) / 1000);
  await until('each client has a standby key', async () => (await store.openWork()).length === 0, PATIENCE_MS);
  return perS;
}
