/**
 * What of the append-only file is on disk, so that a power cut can be played: killing the process alone loses nothing, since the kernel still
 * writes what the process had handed to it.
 */
import { readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { RedisServer } from '../../support/redis.ts';
import { dataFolder } from './store-data.ts';

export interface Disk {
  /** Redis says that all it has written is on disk. */
  confirmed(): void;
  /** Ends the server, takes away what was not on disk yet, and starts it again. Resolves with the number of those bytes. */
  powerCut(downMs: () => Promise<void>): Promise<number>;
  close(): void;
}

const SAMPLE_MS = 100;

/** `appendfsync everysec` is late by up to two seconds (redis.conf). */
const EVERYSEC_MS = 2_000;

/** @param everysec false when every write is on disk before it is answered */
export function watchDisk(redis: RedisServer, everysec: boolean): Disk {
  const samples: { at: number; size: number }[] = [];
  let safe = sizeOf(redis);
  const sampling = setInterval(() => {
    const now = performance.now();
    samples.push({ at: now, size: sizeOf(redis) });
    for (let [oldest] = samples; oldest !== undefined && oldest.at < now - EVERYSEC_MS; [oldest] = samples) {
      safe = Math.max(safe, oldest.size);
      samples.shift();
    }
  }, SAMPLE_MS);

  return {
    confirmed() {
      // A little of what others wrote meanwhile is counted too: that can only hide a loss, never make one up.
      safe = Math.max(safe, sizeOf(redis));
    },
    async powerCut(down) {
      await redis.kill();
      const file = logOf(redis);
      const lost = everysec ? Math.max(0, statSync(file).size - safe) : 0;
      if (lost > 0) truncateSync(file, safe);
      samples.length = 0;
      await down();
      await redis.restart();
      safe = sizeOf(redis);
      return lost;
    },
    close: () => clearInterval(sampling),
  };
}

function sizeOf(redis: RedisServer): number {
  try {
    return statSync(logOf(redis)).size;
  } catch {
    return 0; // not made yet
  }
}

/** The last incremental file: a short run never gets to rewrite it. */
export function logOf(redis: RedisServer): string {
  const folder = dataFolder(redis);
  const names = readdirSync(folder).filter((name) => name.endsWith('.incr.aof'));
  return join(folder, names.sort().at(-1) ?? '');
}
