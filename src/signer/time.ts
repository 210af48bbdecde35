/** The one home of clocks and timers in this package. */

/** Milliseconds since the Unix epoch, as this machine believes. */
export function now(): number {
  return Date.now();
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Runs `action` every `ms` until what it returns is called; the process is not kept alive for it. */
export function every(ms: number, action: () => void): () => void {
  const timer = setInterval(action, ms);
  timer.unref();
  return () => clearInterval(timer);
}

/** Settles as `work` does; after `ms` rejects with `late()`, and the work goes on unseen. */
export function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
