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
