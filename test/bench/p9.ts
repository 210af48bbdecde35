import { type Figure, judge, medians, type Result, type Scale } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import { onStage } from './stage.ts';
import { scaled } from './throughput.ts';

interface Kind {
  readonly id: string;
  readonly what: string;
  readonly clients: number;
  readonly concurrency: number;
}

/** Jobs at once are the default, and then so few that waiting for the API is the limit, and not the processor that all share. */
const KINDS: readonly Kind[] = [
  { id: 'P9', what: 'two workers ÷ one at 50 ms API latency', clients: 500, concurrency: 10 },
  { id: 'P9-few', what: 'the same with two jobs at once in each', clients: 100, concurrency: 2 },
];

export const p9: Figure = {
  ids: ['P9', 'P9-few'],
  async measure(scale) {
    const results: Result[] = [];
    for (const kind of KINDS) results.push(await measured(kind, scale));
    return results;
  },
};

async function measured({ id, what, clients, concurrency }: Kind, scale: Scale): Promise<Result> {
  const setting = scaled({ appendfsync: 'always', strategy: 'overlap', clients, concurrency, latencyMs: 50 }, scale);
  const rounds = await onStage(setting, async (stage) => {
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
  return judge(
    { id, what, unit: 'ratio', goal: 1.8, baseline: medians(rounds) },
    rounds.map(({ one_per_s, two_per_s }) => two_per_s / one_per_s),
  );
}
