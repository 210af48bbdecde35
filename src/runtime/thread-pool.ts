/**
 * libuv's thread pool: crypto, files and host names of the whole process wait for it. libuv reads UV_THREADPOOL_SIZE once, when the pool is first used, and
 * has four threads without it.
 */
import { availableParallelism } from 'node:os';

const DEFAULT = 4;

/** RSA keys may take a thread for each core ({@link ../keys/generator.ts}), and leave two to the rest. */
export function wantedThreads(cores = availableParallelism()): number {
  return Math.max(DEFAULT, cores + 2);
}

/** How many there are, as libuv reads it: at least one, whatever is written there. */
export function threadsIn({ UV_THREADPOOL_SIZE: size }: Readonly<Record<string, string | undefined>>): number {
  return size === undefined ? DEFAULT : Math.max(1, Number.parseInt(size, 10) || 0);
}
