/**
 * Where new keys come from. Node makes them on libuv's thread pool, whichever thread asks; AES-GCM, signatures, files and host names wait for the same pool. An
 * RSA key keeps one of its threads busy for a tenth of a second to several seconds. Once RSA has all of them, everything else waits in line behind it. So RSA
 * keys wait here for each other, and at least one thread is left to the rest.
 */
import { availableParallelism } from 'node:os';
import type { Algorithm } from '../core/keys.ts';
import { openLanes } from '../parallel.ts';
import { KEY_SHAPES } from './algorithms.ts';
import { type FreshKey, freshKey, type KeyOptions, newPair } from './generate.ts';

export interface GenerateOptions extends KeyOptions {
  /** Goes before the RSA keys that wait. */
  readonly urgent?: boolean;
  /** Rejects with its reason while the key waits; one that is being made is made. */
  readonly signal?: AbortSignal;
}

/** As {@link generateKey}, for a process that makes many at once. */
export type GenerateKey = (alg: Algorithm, options?: GenerateOptions) => Promise<FreshKey>;

/**
 * How many RSA keys are made at once: more than one on a core makes none of them sooner.
 * @param poolThreads of libuv's pool; one of them is left to the rest, unless it is the only one
 */
export function rsaAtOnce(poolThreads = 4, cores = availableParallelism()): number {
  return Math.max(1, Math.min(cores, poolThreads - 1));
}

/** One for the process: the pool is one, too. */
export function openGenerator(limit: number): GenerateKey {
  const lanes = openLanes(limit);
  return async (alg, { urgent = false, signal, ...options } = {}) => {
    const make = () => newPair(alg, options);
    const key = KEY_SHAPES[alg].kty === 'RSA' ? await lanes.run(make, urgent, signal) : await make();
    return freshKey(key, alg);
  };
}
