/** What the page shows of a large fleet beside a small one: the first page of its clients, and the fleet. The goal is 300 ms; the baselines hold the times. */
import { openCensus } from '../../src/status/census/census.ts';
import { openViews } from '../../src/status/open-views.ts';
import type { ClientQuery, Views } from '../../src/status/views.ts';
import { type Figure, judge, median } from './figure.ts';
import { fill } from './fill.ts';
import { onStage } from './stage.ts';

const LARGE = 100_000;
const SMALL = 100;
const LOOKS = 20;

const FIRST: ClientQuery = {
  ...{ text: '', state: null, app: null, policy: null, condition: null },
  ...{ order: 'urgency', after: null, limit: 50, only: null },
};

/** Medians of one round, in ms. */
interface Shown {
  readonly clients: number;
  readonly search: number;
  readonly fleet: number;
}

export const p17: Figure = {
  ids: ['P17-clients', 'P17-search', 'P17-fleet'],
  async measure({ rounds, quick }) {
    const count = quick ? LARGE / 10 : LARGE;
    const [small, large] = [await shownOf(SMALL, rounds), await shownOf(count, rounds)];
    const judged = (part: keyof Shown, what: string) => {
      const times = {
        small_ms: median(small.map((one) => one[part])),
        large_ms: median(large.map((one) => one[part])),
      };
      const ratios = large.map((one, round) => one[part] / (small[round]?.[part] ?? Number.NaN));
      const about = { id: `P17-${part}`, what: `${what} of ${count} clients ÷ of ${SMALL}`, unit: 'ratio' } as const;
      return judge({ ...about, goal: 20, bound: 'most', baseline: times }, ratios);
    };
    return [
      judged('clients', 'the first page'),
      judged('search', 'a search by a part of a name'),
      judged('fleet', 'the fleet'),
    ];
  },
};

async function shownOf(clients: number, rounds: number): Promise<readonly Shown[]> {
  return onStage({ appendfsync: 'everysec', strategy: 'cutover', clients: 1, concurrency: 1 }, async (stage) => {
    await fill(stage, clients);
    const { resources } = stage;
    const census = openCensus(() => resources);
    const views = openViews(() => ({ resources, requests: async () => ({ requests: [], requests_more: 0 }) }), census);
    await census.whole(new AbortController().signal);
    const all: Shown[] = [];
    for (let round = 0; round < rounds; round += 1) all.push(await roundOf(views));
    census.stop();
    return all;
  });
}

async function roundOf(views: Views): Promise<Shown> {
  return {
    clients: await taken(() => views.clients(FIRST)),
    search: await taken(() => views.clients({ ...FIRST, text: '9' })),
    fleet: await taken(() => views.fleet()),
  };
}

async function taken(work: () => Promise<unknown>): Promise<number> {
  const took: number[] = [];
  for (let look = 0; look < LOOKS; look += 1) {
    const from = performance.now();
    await work();
    took.push(performance.now() - from);
  }
  return median(took);
}
