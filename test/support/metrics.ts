/** `/metrics` as Prometheus reads it. */
import { caller, makeToken } from './api.ts';
import type { Fleet } from './fleet.ts';

/** By the name of each sample with its labels. */
export type Samples = ReadonlyMap<string, number>;

export function samplesIn(text: string): Samples {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

/** Reads the samples of a service, each time it is called. */
export async function scraper(fleet: Fleet, url: string | null): Promise<() => Promise<Samples>> {
  const call = caller(url ?? '', await makeToken(fleet, { name: 'scraper', scopes: ['metrics'] }));
  return async () => samplesIn((await call('/metrics')).body);
}
