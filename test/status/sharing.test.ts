/** One reading for all who ask at the same time. */
import { expect, it } from 'vitest';
import { shared } from '../../src/status/sharing.ts';

it('those who ask while it reads share the next reading, and get what was read after they asked', async () => {
  const begun: PromiseWithResolvers<number>[] = [];
  const ask = shared(() => {
    const reading = Promise.withResolvers<number>();
    begun.push(reading);
    return reading.promise;
  });
  const first = ask();
  await Promise.resolve();
  expect(begun).toHaveLength(1);
  const others = [ask(), ask(), ask()];
  begun[0]?.resolve(1);
  expect(await first).toBe(1);
  await expect.poll(() => begun.length).toBe(2);
  begun[1]?.resolve(2);
  expect(await Promise.all(others)).toEqual([2, 2, 2]);
  expect(begun).toHaveLength(2);
});

it('a failure is told to those who share the reading, and the next one succeeds', async () => {
  let count = 0;
  const ask = shared(async () => {
    count += 1;
    if (count === 1) throw new Error('away');
    return count;
  });
  const both = await Promise.allSettled([ask(), ask()]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(await ask()).toBe(2);
});
