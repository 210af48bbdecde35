/** One probe of an app at a time. */
import { randomUUID } from 'node:crypto';
import { RekeydError } from '../errors.ts';
import type { Apps } from '../store/app-facts.ts';
import { monotonic, sleep } from '../time.ts';

export interface LeaseOptions {
  readonly signal: AbortSignal;
  /** Told that somebody else holds it, and for how many ms at most until that is seen again. */
  readonly onWait?: (ms: number) => void;
  /** For how long a process that was killed holds it, in ms. */
  readonly leaseMs: number;
}

/** The longest that one probe waits for another, in ms. */
const LONGEST_WAIT_MS = 5 * 60_000;

export interface Lease {
  /** Aborts when the probe is to stop, or another one began. */
  readonly signal: AbortSignal;
  letGo(): Promise<void>;
}

/** One probe of an app at a time: another one would take its client for a leftover. */
export async function holdApp(
  store: Pick<Apps, 'holdProbe' | 'letGoProbe'>,
  app: string,
  { signal, onWait, leaseMs }: LeaseOptions,
): Promise<Lease> {
  const holder = randomUUID();
  const startedAt = monotonic();
  for (;;) {
    signal.throwIfAborted();
    const ms = await store.holdProbe(app, holder, leaseMs);
    if (ms === 0) break;
    if (monotonic() - startedAt > LONGEST_WAIT_MS)
      throw new RekeydError('probe_failed', `Another probe of ${app} goes on and on. Look for it, or try again later.`);
    onWait?.(ms);
    await sleep(ms, signal);
  }
  const over = new AbortController();
  const lost = new AbortController();
  const renewing = (async () => {
    for (;;) {
      await sleep(leaseMs / 3, over.signal);
      if (over.signal.aborted) return;
      if ((await store.holdProbe(app, holder, leaseMs)) > 0) throw new RekeydError('probe_failed', LOST);
    }
  })().catch((error: unknown) => lost.abort(error));
  return {
    signal: AbortSignal.any([signal, lost.signal]),
    async letGo() {
      over.abort();
      await renewing;
      await store.letGoProbe(app, holder);
    },
  };
}

const LOST = 'This probe stood still for so long that another one began. Its findings count.';
