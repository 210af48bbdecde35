/**
 * The one home of clocks and timers outside the pure core. Everything else takes a `Clock` or a number of milliseconds since the epoch.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch, as this machine believes. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

/** Milliseconds of a clock that never jumps; only differences mean anything. */
export function monotonic(): number {
  return performance.now();
}

/** Resolves after `ms`, or at once (without error) when `signal` aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener('abort', finish, { once: true });
  });
}

/** Runs `action` after `ms`, unless what it returns is called before. */
export function alarm(ms: number, action: () => void): () => void {
  const timer = setTimeout(action, ms);
  return () => clearTimeout(timer);
}

/** A signal that aborts after `ms`. */
export function after(ms: number): AbortSignal {
  return AbortSignal.timeout(Math.max(0, Math.round(ms)));
}

/** Runs `action` after `ms`. A process that is otherwise done ends before that. */
export function later(ms: number, action: () => void): void {
  setTimeout(action, ms).unref();
}

/** As `work`, but rejects with the signal's reason as soon as that aborts. `work` itself goes on: others may wait for it too. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  // After an abort nobody may be waiting for it any more, and a failure that nobody handles ends the process.
  work.catch(() => {});
  signal.throwIfAborted();
  const given = Promise.withResolvers<never>();
  const onAbort = () => given.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, given.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
