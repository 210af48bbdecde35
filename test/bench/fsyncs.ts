/** Counts what this process puts on disk, its threads included. Imported before anything else, so that nobody holds the uncounted functions. */
import fs from 'node:fs';
import { open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import threads, { getEnvironmentData, setEnvironmentData, type WorkerOptions } from 'node:worker_threads';

const SHARED = 'bench fsyncs';

const inherited = getEnvironmentData(SHARED);
const counts = new Int32Array(inherited instanceof SharedArrayBuffer ? inherited : new SharedArrayBuffer(4));
setEnvironmentData(SHARED, counts.buffer);

const { fsyncSync } = fs;
fs.fsyncSync = (file) => {
  Atomics.add(counts, 0, 1);
  fsyncSync(file);
};
threads.Worker = class extends threads.Worker {
  constructor(file: string | URL, options?: WorkerOptions) {
    super(file, { ...options, execArgv: [...(options?.execArgv ?? []), '--import', import.meta.url] });
  }
};
syncBuiltinESMExports();

// All file handles share one prototype.
const handle = await open(import.meta.filename);
const prototype: { sync(): Promise<void> } = Object.getPrototypeOf(handle);
await handle.close();
const { sync } = prototype;
prototype.sync = function counted(this: typeof prototype) {
  Atomics.add(counts, 0, 1);
  return sync.call(this);
};

/** Files and folders so far. */
export function fsyncs(): number {
  return Atomics.load(counts, 0);
}
