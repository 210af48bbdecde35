/** Stops a service within a bound, whatever Redis and the API do meanwhile. Nothing is lost by that: the next worker goes on from the last commit. */
import type { Log } from '../rotation/resources.ts';
import { sleep } from '../time.ts';
import type { StoreHandle } from './resources.ts';

/** What is left to close after the grace period, and after connections were cut off, in ms. */
const CLOSING_MS = 5_000;

/** Redis may fail over while a worker stops; one that is silent for longer is away. In ms. */
const SILENT_MS = 10_000;

const ASK_MS = 1_000;

/**
 * Without Redis no step can be finished, so the grace is not waited for: many systems kill a process 30 s after SIGTERM.
 * @param close drains and closes everything; it never rejects
 * @param graceMs how long runs under way may take
 */
export async function stopInTime(
  close: () => Promise<void>,
  { store, cutOff }: Pick<StoreHandle, 'store' | 'cutOff'>,
  graceMs: number,
  log: Log,
): Promise<void> {
  const stopped = new AbortController();
  const closing = close().finally(() => stopped.abort());
  const late = sleep(graceMs + CLOSING_MS, stopped.signal).then(() => 'The API does not answer');
  const silent = redisIsSilent(store, stopped.signal).then(() => 'Redis does not answer');
  const why = await Promise.race([closing, late, silent]);
  if (stopped.signal.aborted) return;
  log.warn({}, `${why}: connections are cut off; what was under way goes on with the next worker`);
  cutOff();
  await Promise.race([closing, sleep(CLOSING_MS, stopped.signal)]);
  if (!stopped.signal.aborted) log.warn({}, 'stopped without closing everything');
}

async function redisIsSilent(store: StoreHandle['store'], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    // An error is an answer: the connection is being closed.
    const answered = store.now().then(
      () => true,
      () => true,
    );
    if (!(await Promise.race([answered, sleep(SILENT_MS, signal).then(() => false)]))) return;
    await sleep(ASK_MS, signal);
  }
}
