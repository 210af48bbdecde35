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

/** Runs `open`, and releases again what it has added when it fails. */
export async function opening<T>(
  log: { error(fields: object, message: string): void },
  open: (add: Releases['add'], release: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const releases = createReleases((name, message) => log.error({ name, error: message }, 'could not be closed'));
  try {
    return await open(releases.add, releases.release);
  } catch (error) {
    await releases.release();
    throw error;
  }
}

/**
 * Calls `stop` on the first SIGTERM or SIGINT (on a terminal also SIGHUP, which comes when it is closed), and `abort` on a second one. Returns a function
 * that stops listening.
 */
export function onTermination(stop: (signal: string) => void, abort: () => void): () => void {
  let asked = false;
  const listen = (signal: NodeJS.Signals) => {
    if (asked) return abort();
    asked = true;
    stop(signal);
  };
  const signals: readonly NodeJS.Signals[] = isOnTerminal() ? ['SIGTERM', 'SIGINT', 'SIGHUP'] : ['SIGTERM', 'SIGINT'];
  for (const signal of signals) process.on(signal, listen);
  return () => {
    for (const signal of signals) process.off(signal, listen);
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
 * Calls `listen` on each SIGHUP. On a terminal that signal says that the terminal is gone, and nobody who could have meant a reload: there it is left to
 * {@link onTermination}. Returns a function that stops listening.
 */
export function onHangup(listen: () => void): () => void {
  if (isOnTerminal()) return () => {};
  process.on('SIGHUP', listen);
  return () => void process.off('SIGHUP', listen);
}

/** Streams still count as terminals when theirs was closed. */
function isOnTerminal(): boolean {
  return process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
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
