/** `/metrics` of a large fleet beside that of a small one: what an answer takes, and how large it is. */
import { setTimeout as delay } from 'node:timers/promises';
import { makeToken } from '../support/api.ts';
import { type Figure, judge, median } from './figure.ts';
import { fill } from './fill.ts';
import { onStage } from './stage.ts';

const LARGE = 100_000;
const SMALL = 100;
const SCRAPES = 40;

interface Scraped {
  /** How long it takes until the whole fleet is told for the first time, in s. */
  readonly first: number;
  /** Median, in ms. */
  readonly ms: number;
  readonly bytes: number;
}

export const p16Metrics: Figure = {
  ids: ['P16-metrics', 'P16-metrics-size'],
  async measure({ rounds, quick }) {
    const count = quick ? LARGE / 10 : LARGE;
    const small = await scrapedOf(SMALL, rounds);
    const large = await scrapedOf(count, rounds);
    const what = `/metrics of ${count} clients ÷ that of ${SMALL}`;
    const baseline = { small_ms: small[0]?.ms ?? 0, large_ms: large[0]?.ms ?? 0, first_s: large[0]?.first ?? 0 };
    const ratios = large.map(({ ms }, round) => ms / (small[round]?.ms ?? Number.NaN));
    const sizes = large.map(({ bytes }) => bytes / (1 << 20));
    return [
      judge({ id: 'P16-metrics', what, unit: 'ratio', goal: 5, bound: 'most', baseline }, ratios),
      judge(
        {
          id: 'P16-metrics-size',
          what: `size of /metrics of ${count} clients`,
          unit: 'MiB',
          goal: 200 / 1024,
          baseline: {},
        },
        sizes,
      ),
    ];
  },
};

async function scrapedOf(clients: number, rounds: number): Promise<readonly Scraped[]> {
  return onStage({ appendfsync: 'everysec', strategy: 'cutover', clients: 1, concurrency: 1 }, async (stage) => {
    await fill(stage, clients);
    const { resources } = stage;
    const api = await stage.startApi();
    const value = await makeToken({ resources, config: resources.config }, { scopes: ['metrics'] });
    const scrape = async () => {
      const answer = await fetch(`${api.ready.url}/metrics`, { headers: { authorization: `Bearer ${value}` } });
      return answer.text();
    };
    const asked = performance.now();
    // The first ones ask for the fleet to be read.
    while (!(await scrape()).includes(`rekeyd_clients_key_age_seconds_count ${clients}\n`)) await delay(20);
    const first = (performance.now() - asked) / 1000;
    const all: Scraped[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const [took, sizes]: [number[], number[]] = [[], []];
      for (let count = 0; count < SCRAPES; count += 1) {
        const from = performance.now();
        sizes.push(Buffer.byteLength(await scrape()));
        took.push(performance.now() - from);
      }
      all.push({ first, ms: median(took), bytes: Math.max(...sizes) });
    }
    return all;
  });
}
