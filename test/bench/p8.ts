import { sleep } from '../../src/time.ts';
import type { Child, Usage } from './child.ts';
import { type Figure, judge, medians } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import { onStage } from './stage.ts';

const CLIENTS = 100;
const SETTLE_MS = 3_000;
/** As long as the time between two runs of the upkeep, so that one of them is in it. */
const WATCH_MS = 60_000;

/** The whole service, with ticks and HTTP, after it has rotated a fleet of 100. */
export const p8: Figure = {
  ids: ['P8', 'P8-rss'],
  async measure({ rounds, quick }) {
    const watchMs = quick ? WATCH_MS / 20 : WATCH_MS;
    const setting = { appendfsync: 'always', strategy: 'overlap', clients: CLIENTS, concurrency: 10 } as const;
    const idle = { ...setting, reconcileEvery: '60s' };
    const measured = await onStage(idle, async (stage) => {
      const worker = await stage.startWorker(true);
      await rotateFleet(stage, [worker]);
      await sleep(SETTLE_MS);
      const all: { cpu: number; rss: number; bare_cpu: number; bare_rss: number }[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const [used, bare] = await Promise.all([watch(worker, watchMs), watch(stage.bare, watchMs)]);
        all.push({ ...used, bare_cpu: bare.cpu, bare_rss: bare.rss });
      }
      return all;
    });
    const { bare_cpu, bare_rss } = medians(measured);
    return [
      judge(
        { id: 'P8', what: 'idle: share of a core', unit: '%', goal: 1, baseline: { bare_node: bare_cpu } },
        measured.map(({ cpu }) => cpu),
      ),
      judge(
        { id: 'P8-rss', what: 'idle: memory', unit: 'MiB', goal: 120, baseline: { bare_node: bare_rss } },
        measured.map(({ rss }) => rss),
      ),
    ];
  },
};

async function watch(child: Child, ms: number): Promise<{ cpu: number; rss: number }> {
  const before = await child.ask<Usage>('usage');
  const startedAt = performance.now();
  await sleep(ms);
  const after = await child.ask<Usage>('usage');
  return { cpu: ((after.cpuMs - before.cpuMs) / (performance.now() - startedAt)) * 100, rss: after.rssMiB };
}
