/** One probe of an app at a time: another one would take its client for a leftover. */
import { randomUUID } from 'node:crypto';
import { RekeydError } from '../errors.ts';
import type { Apps } from '../store/app-facts.ts';
import { monotonic, sleep } from '../time.ts';

export interface LeaseOptions {
  readonly signal: AbortSignal;
  /** Told that another probe holds the app, and in how many ms it is tried again. */
  readonly onWait?: (ms: number) => void;
  /** For how long a process that was killed still holds the app, in ms. */
  readonly leaseMs: number;
}

/** The longest that one probe waits for another, in ms. */
const LONGEST_WAIT_MS = 5 * 60_000;

export interface Lease {
  /** Aborts when the probe is to stop, or the lease is lost. */
  readonly signal: AbortSignal;
  /** Another probe may have begun: a client with our mark may be the one that it works with. */
  isLost(): boolean;
  letGo(): Promise<void>;
}

/** @throws RekeydError `probe_failed` when another probe holds the app for too long; the reason of `signal` */
export async function holdApp(
  store: Pick<Apps, 'holdProbe' | 'leaveProbe'>,
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
      throw new RekeydError(
        'probe_failed',
        `Another probe of ${app} has not ended for 5 min. Look for it, or try again later.`,
      );
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
    isLost: () => lost.signal.aborted,
    async letGo() {
      over.abort();
      await renewing;
      await store.leaveProbe(app, holder);
    },
  };
}

const LOST = 'This probe stood still for so long that another one may have begun: the findings of that one count.';
