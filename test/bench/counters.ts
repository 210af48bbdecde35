/** Counts what this process puts on disk and which keys it makes, its threads included. Imported before anything else, so that nobody holds the uncounted functions. */
import crypto from 'node:crypto';
import fs from 'node:fs';
import { open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import threads, { getEnvironmentData, setEnvironmentData, type WorkerOptions } from 'node:worker_threads';

const SHARED = 'bench counters';
const [FSYNCS, KEYS] = [0, 1];
const BYTES = 2 * Int32Array.BYTES_PER_ELEMENT;

const inherited = getEnvironmentData(SHARED);
const counts = new Int32Array(inherited instanceof SharedArrayBuffer ? inherited : new SharedArrayBuffer(BYTES));
setEnvironmentData(SHARED, counts.buffer);

const { fsyncSync } = fs;
fs.fsyncSync = (file) => {
  Atomics.add(counts, FSYNCS, 1);
  fsyncSync(file);
};
threads.Worker = class extends threads.Worker {
  constructor(file: string | URL, options?: WorkerOptions) {
    super(file, { ...options, execArgv: [...(options?.execArgv ?? []), '--import', import.meta.url] });
  }
};
crypto.generateKeyPair = counted(crypto.generateKeyPair, () => true);
crypto.generateKeyPairSync = counted(crypto.generateKeyPairSync, () => true);
SubtleCrypto.prototype.generateKey = counted(SubtleCrypto.prototype.generateKey, isAsymmetric);
syncBuiltinESMExports();

// All file handles share one prototype.
const handle = await open(import.meta.filename);
const prototype: { sync(): Promise<void> } = Object.getPrototypeOf(handle);
await handle.close();
const { sync } = prototype;
prototype.sync = function counted(this: typeof prototype) {
  Atomics.add(counts, FSYNCS, 1);
  return sync.call(this);
};

/** Files and folders so far. */
export function fsyncs(): number {
  return Atomics.load(counts, FSYNCS);
}

/** Asymmetric keys so far. */
export function keysMade(): number {
  return Atomics.load(counts, KEYS);
}

/** @param isCounted given the call's first argument */
function counted<F extends object>(call: F, isCounted: (first: unknown) => boolean): F {
  return new Proxy(call, {
    apply(target, self, args) {
      if (isCounted(args[0])) Atomics.add(counts, KEYS, 1);
      return Reflect.apply(target as unknown as () => unknown, self, args); // `apply` comes for functions only
    },
  });
}

/** WebCrypto makes symmetric keys by the same call. */
function isAsymmetric(algorithm: unknown): boolean {
  const name = typeof algorithm === 'object' && algorithm !== null && 'name' in algorithm ? algorithm.name : algorithm;
  return !/^(AES|HMAC)/i.test(String(name));
}
