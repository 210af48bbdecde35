import { sleep } from '../../src/time.ts';
import { until } from '../support/patient.ts';
import { type Figure, judge, median, medians, p99 } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import type { BareResult, Loop } from './lanes.ts';
import { APP, onStage, type Stage } from './stage.ts';

const CLIENTS = 100;
const SETTLE_MS = 50;

/** From the producer's call to the arrival of the first PATCH, one client after the other, with nothing else to do. */
export const p6: Figure = {
  ids: ['P6'],
  async measure({ rounds, quick }) {
    const setting = { appendfsync: 'always', strategy: 'overlap', clients: CLIENTS, concurrency: 10 } as const;
    const measured = await onStage(setting, async (stage) => {
      await rotateFleet(stage, [await stage.startWorker()]);
      const some = (clients: readonly string[]) => (quick ? clients.slice(0, CLIENTS / 5) : clients);
      const clients = some(stage.clients);
      const loop: Loop = { clients: some(stage.bareClients), lanes: 1, alg: 'ES256', strategy: 'cutover' };
      const all: { p99_ms: number; median_ms: number; bare_p99_ms: number }[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const { p99Ms } = await stage.bare.ask<BareResult>('patches', loop);
        const took: number[] = [];
        for (const client of clients) took.push(await requestToPatch(stage, client));
        all.push({ p99_ms: p99(took), median_ms: median(took), bare_p99_ms: p99Ms });
      }
      return all;
    });
    const about = {
      id: 'P6',
      what: 'request to first PATCH, idle, p99',
      unit: 's',
      goal: 0.05,
      baseline: medians(measured),
    } as const;
    return [
      judge(
        about,
        measured.map(({ p99_ms }) => p99_ms / 1000),
      ),
    ];
  },
};

export async function requestToPatch({ resources, queues, server }: Stage, client: string): Promise<number> {
  const ref = `${resources.config.deployments[0]?.id}/${APP}/${client}`;
  const askedAt = Date.now();
  const select = { clients: [ref] };
  await queues.request({ v: 1, select, reason: 'benchmark', actor: 'bench', compromised: false });
  const arrived = await until('the first PATCH', async () => {
    const at = await server.ask<number | null>('patchedAt', client);
    return at !== null && at >= askedAt && at;
  });
  await until('the rotation is finished', async (saw) => saw(await resources.store.openWork()).length === 0);
  await sleep(SETTLE_MS);
  return arrived - askedAt;
}
