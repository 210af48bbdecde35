/** All keys of a fleet leaked, and each client has another one ready: how fast the old ones are out of use. */
import { until } from '../support/patient.ts';
import { type Figure, judge, medians } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import type { BareResult, Loop } from './lanes.ts';
import { onStage, type Setting, type Stage } from './stage.ts';
import { scaled } from './throughput.ts';

const CONCURRENCY = 50;

const SETTING: Setting = {
  ...{ appendfsync: 'everysec', strategy: 'cutover', clients: 1_000, concurrency: CONCURRENCY, alg: 'RS256' },
  standby: true,
};

/** Making RSA keys is slow enough that some clients show its pace. */
const MAKING = 50;

const PATIENCE_MS = 600_000;
const PAGE = 1_000;

interface Round {
  readonly withStandby: number;
  readonly making: number;
  readonly bare: number;
}

export const p3: Figure = {
  ids: ['P3', 'P3b'],
  async measure(scale) {
    const rounds = await onStage(scaled(SETTING, scale), async (stage) => {
      await stage.startWorker();
      // Adopts the fleet, and ends when every client has a standby key.
      await rotateFleet(stage, []);
      const all: Round[] = [];
      for (let round = 0; round < scale.rounds; round += 1) all.push(await oneRound(stage));
      return all;
    });
    const baseline = medians(
      rounds.map(({ withStandby, making, bare }) => ({
        bare_per_s: bare,
        rekeyd_per_s: withStandby,
        rekeyd_making_per_s: making,
      })),
    );
    const what = 'compromise of 1,000 RS256 clients with a standby key ÷';
    const against = { unit: 'ratio', baseline } as const;
    return [
      judge(
        { id: 'P3', what: `${what} loop of PATCH and both proofs`, goal: 0.5, ...against },
        rounds.map(({ withStandby, bare }) => withStandby / bare),
      ),
      judge(
        { id: 'P3b', what: `${what} one that makes its keys`, goal: 20, ...against },
        rounds.map(({ withStandby, making }) => withStandby / making),
      ),
    ];
  },
};

async function oneRound(stage: Stage): Promise<Round> {
  const loop: Loop = { clients: stage.bareClients, lanes: CONCURRENCY, alg: 'RS256', strategy: 'cutover' };
  const { seconds } = await stage.bare.ask<BareResult>('replace', loop);
  const bare = stage.bareClients.length / seconds;
  const withStandby = await compromise(stage, { all: true }, true);
  const some = (await stage.resources.store.clientRefs()).slice(0, MAKING);
  const making = await compromise(stage, { clients: some }, false);
  return { withStandby, making, bare };
}

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
