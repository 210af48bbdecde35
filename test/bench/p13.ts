import { FRESH_MS } from '../../src/core/server.ts';
import { sleep } from '../../src/time.ts';
import { until } from '../support/patient.ts';
import type { Child, Usage } from './child.ts';
import { type Figure, judge, medians, p99, type Result } from './figure.ts';
import { requestToPatch } from './p6.ts';
import type { ServerCounts } from './server-child.ts';
import { APP, onStage, type Stage } from './stage.ts';

const SMALL = 100;
const LARGE = 100_000;
/** So many clients of the app are rotated, one after the other. */
const ROTATED = 40;

interface Round {
  readonly cpuMs: number;
  readonly p99Ms: number;
  /** What the server sent for one rotation, in MiB. */
  readonly answeredMiB: number;
}

/** What one rotation costs, and how soon its PATCH comes, in an app of many clients beside one of few. */
export const p13: Figure = {
  ids: ['P13', 'P13-bytes', 'P14'],
  async measure({ rounds, quick }): Promise<readonly Result[]> {
    const small = await rotateIn(SMALL, rounds);
    const large = await rotateIn(quick ? LARGE / 10 : LARGE, rounds);
    const ratio = (id: string, what: string, name: keyof Round) =>
      judge(
        {
          id,
          what: `${what} in an app of 100,000 ÷ in one of 100`,
          unit: 'ratio',
          bound: 'most',
          goal: 1.2,
          baseline: {
            ...medians(small.map((one) => ({ small: one[name] }))),
            ...medians(large.map((one) => ({ large: one[name] }))),
          },
        },
        large.map((one, index) => one[name] / (small[index]?.[name] ?? Number.NaN)),
      );
    const received = large.map(({ answeredMiB }) => answeredMiB);
    const what = 'bytes that the API and the issuer send for a rotation in an app of 100,000';
    return [
      ratio('P13', 'CPU of a rotation', 'cpuMs'),
      judge({ id: 'P13-bytes', what, unit: 'MiB', goal: 20 / 1024, baseline: {} }, received),
      ratio('P14', 'request to first PATCH, p99,', 'p99Ms'),
    ];
  },
};

function rotateIn(clients: number, rounds: number): Promise<readonly Round[]> {
  return onStage({ appendfsync: 'always', strategy: 'overlap', clients, concurrency: 10 }, async (stage) => {
    const worker = await stage.startWorker();
    const some = stage.clients.slice(0, ROTATED);
    await takeOver(stage, some);
    // Until then what was seen with the takeover would do.
    await sleep(FRESH_MS);
    for (const client of some.slice(0, 1)) await requestToPatch(stage, client);
    const all: Round[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const before = await spentBy(worker, stage);
      const took: number[] = [];
      for (const client of some) took.push(await requestToPatch(stage, client));
      const after = await spentBy(worker, stage);
      const p99Ms = p99(took);
      const each = (name: keyof typeof after) => (after[name] - before[name]) / some.length;
      all.push({ cpuMs: each('cpuMs'), p99Ms, answeredMiB: each('bytes') / 2 ** 20 });
    }
    return all;
  });
}

async function spentBy(worker: Child, { server }: Stage) {
  const { cpuMs } = await worker.ask<Usage>('usage');
  const { bytes } = await server.ask<ServerCounts>('counts');
  return { cpuMs, bytes };
}

/** The first rotation enrolls them. The first look, which is compared with a list, comes after it. */
async function takeOver({ resources, queues }: Stage, clients: readonly string[]): Promise<void> {
  const deployment = resources.config.deployments[0]?.id;
  const select = { clients: clients.map((client) => `${deployment}/${APP}/${client}`) };
  await queues.request({ v: 1, select, reason: 'benchmark', actor: 'bench', compromised: false, take_over: true });
  const { store } = resources;
  await until(
    'all of them are taken over',
    async () => (await store.clientCount()) === clients.length && (await store.openWork()).length === 0,
    120_000,
  );
}
