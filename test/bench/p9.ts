import { type Figure, judge, medians } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import { onStage } from './stage.ts';
import { scaled } from './throughput.ts';

const SETTING = { appendfsync: 'always', strategy: 'overlap', clients: 100, latencyMs: 50 } as const;

/** So few jobs at once that waiting for the API is the limit, and not the processor that all share. */
const CONCURRENCY = 2;

export const p9: Figure = {
  ids: ['P9'],
  async measure(scale) {
    const rounds = await onStage(scaled({ ...SETTING, concurrency: CONCURRENCY }, scale), async (stage) => {
      const first = await stage.startWorker();
      await rotateFleet(stage, [first]);
      const paces: { one_per_s: number; two_per_s: number }[] = [];
      for (let round = 0; round < scale.rounds; round += 1) {
        const one = await rotateFleet(stage, [first]);
        const second = await stage.startWorker();
        const two = await rotateFleet(stage, [first, second]);
        await second.stop();
        paces.push({ one_per_s: one.rotations / one.seconds, two_per_s: two.rotations / two.seconds });
      }
      return paces;
    });
    return [
      judge(
        {
          id: 'P9',
          what: 'two workers ÷ one at 50 ms API latency, two jobs at once in each',
          unit: 'ratio',
          goal: 1.8,
          baseline: medians(rounds),
        },
        rounds.map(({ one_per_s, two_per_s }) => two_per_s / one_per_s),
      ),
    ];
  },
};
