/** Starting and stopping: what was opened is released last-in first-out, once, whatever fails on the way. */
import { writeFileSync } from 'node:fs';
import { messageOf } from '../errors.ts';

export interface Releases {
  /** To be called on release; later additions are released first. */
  add(name: string, release: () => unknown): void;
  /** Releases everything. A second call waits for the first. Never rejects: failures go to `onError`. */
  release(): Promise<void>;
}

export function createReleases(onError: (name: string, message: string) => void): Releases {
  const stack: { name: string; release: () => unknown }[] = [];
  let releasing: Promise<void> | null = null;

  async function unwind(): Promise<void> {
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      try {
        await top.release();
      } catch (error) {
        onError(top.name, messageOf(error));
      }
    }
  }

  return {
    add: (name, release) => void stack.push({ name, release }),
    release() {
      releasing ??= unwind();
      return releasing;
    },
  };
}

/**
 * Calls `stop` on the first SIGTERM or SIGINT, and `abort` on a second one. Returns a function that stops listening.
 */
export function onTermination(stop: (signal: string) => void, abort: () => void): () => void {
  let asked = false;
  const listen = (signal: NodeJS.Signals) => {
    if (asked) return abort();
    asked = true;
    stop(signal);
  };
  process.on('SIGTERM', listen);
  process.on('SIGINT', listen);
  return () => {
    process.off('SIGTERM', listen);
    process.off('SIGINT', listen);
  };
}

/** Node.js prints its warnings, unless somebody else listens. Returns a function that lets it print them again. */
export function onWarnings(listen: (warning: Error) => void): () => void {
  const before = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', listen);
  return () => {
    process.off('warning', listen);
    for (const listener of before) process.on('warning', listener);
  };
}

/**
 * Should this process crash, the core dump has none of its memory in it, whatever limit was set for core dumps. Linux asks this file which kinds of
 * memory to write (core(5)); other systems have no such file, and a container may show it read-only: there the limit has to be 0.
 */
export function keepMemoryOutOfCoreDumps(): void {
  try {
    writeFileSync('/proc/self/coredump_filter', '0');
  } catch {
    // As said above. What cannot be had here is no reason not to start.
  }
}
