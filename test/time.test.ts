import { expect, onTestFinished, test } from 'vitest';
import { untilAborted } from '../src/time.ts';

test('work that fails after its caller has given up is no unhandled rejection', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  onTestFinished(() => void process.off('unhandledRejection', note));
  for (const isAbortedBefore of [true, false]) {
    const work = Promise.withResolvers<never>();
    const given = new AbortController();
    if (isAbortedBefore) given.abort();
    const waiting = untilAborted(work.promise, given.signal);
    given.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    work.reject(new Error('the store was closed'));
    // Node tells of such a rejection after the microtasks of a turn.
    await new Promise((resolve) => void setImmediate(resolve));
  }
  expect(unhandled).toEqual([]);
});
