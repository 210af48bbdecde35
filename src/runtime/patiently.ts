/** Asking an API whether it answers, on behalf of many. */
import { sleep } from '../time.ts';
import { ApiError } from '../wacht/api-error.ts';

/** How long, in ms, anybody waits to hear whether an API answers. */
const PATIENCE_MS = 2_000;

/** One question at a time, however many ask. It goes on when they have stopped waiting, so that those who ask again hear the answer. */
export function patiently(deployment: string, ask: () => Promise<void>): () => Promise<void> {
  let asking: Promise<void> | null = null;
  return async () => {
    asking ??= ask().finally(() => {
      asking = null;
    });
    const answered = new AbortController();
    const answer = asking.finally(() => answered.abort());
    const late = sleep(PATIENCE_MS, answered.signal).then(() => {
      if (answered.signal.aborted) return;
      const message = `no answer within ${PATIENCE_MS / 1000} s`;
      throw new ApiError(`Asking the API of ${deployment}`, { class: 'unknown', status: null, message });
    });
    late.catch(() => {}); // the answer may have come first
    await Promise.race([answer, late.then(() => answer)]);
  };
}
