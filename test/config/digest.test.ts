/** What workers say of their configs, so that one that goes by another is found out. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { configParts } from '../../src/config/digest.ts';
import { parseConfig } from '../../src/config/load.ts';
import { env, folder, useFolder, write } from './write.ts';

useFolder();

const partsOf = async (top: object) =>
  configParts(await parseConfig(write({ ...top }), { file: join(folder, 'rekeyd.yaml'), env }));

test.each<[string, object]>([
  ['breaker', { breaker: '5%' }],
  ['approval', { approval: { compromise_all: 2 } }],
  ['leaks', { leaks: { github: { rotate: true } } }],
  ['queue', { queue: { requests: 'off' } }],
])('%s is the same for all workers', async (part, top) => {
  const [before, after] = [await partsOf({}), await partsOf(top)];
  expect(Object.keys(after).filter((name) => before[name] !== after[name])).toEqual([part]);
});

test('what one machine may do by itself is not', async () => {
  expect(await partsOf({ http: { listen: '127.0.0.1:1' }, shutdown_grace: '5s' })).toEqual(await partsOf({}));
});
