import { type Figure, judge, medians } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import { onStage } from './stage.ts';
import { scaled } from './throughput.ts';

/** Jobs at once are the default, so that two workers have twice as many: latency is the limit, and not the processor. */
export const p9: Figure = {
  id: 'P9',
  async measure(scale) {
    const setting = scaled(
      { appendfsync: 'always', strategy: 'overlap', clients: 500, concurrency: 10, latencyMs: 50 },
      scale,
    );
    const rounds = await onStage(setting, async (stage) => {
      const first = await stage.startWorker();
      await rotateFleet(stage, [first]);
      const measured: { one_per_s: number; two_per_s: number }[] = [];
      for (let round = 0; round < scale.rounds; round += 1) {
        const one = await rotateFleet(stage, [first]);
        const second = await stage.startWorker();
        const two = await rotateFleet(stage, [first, second]);
        await second.stop();
        measured.push({ one_per_s: one.rotations / one.seconds, two_per_s: two.rotations / two.seconds });
      }
      return measured;
    });
    const about = {
      id: 'P9',
      what: 'two workers ÷ one at 50 ms API latency',
      unit: 'ratio',
      goal: 1.8,
      baseline: medians(rounds),
    } as const;
    return [
      judge(
        about,
        rounds.map(({ one_per_s, two_per_s }) => two_per_s / one_per_s),
      ),
    ];
  },
};
