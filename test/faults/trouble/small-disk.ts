/** A disk of its own, small enough to be filled: a tmpfs, where this process may mount one. */
import { execFileSync } from 'node:child_process';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface SmallDisk {
  /** Takes all the space that is left, and what becomes free, until it is emptied. */
  fill(): Promise<void>;
  empty(): Promise<void>;
  unmount(): void;
}

const CHUNK = Buffer.alloc(64 << 10);

/** @param size as tmpfs takes it: `4m` */
export async function mountSmallDisk(path: string, size: string): Promise<SmallDisk> {
  await mkdir(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'rekeyd-faults', path]);
  // Lazily: a process that still has a file open there is about to end.
  const unmount = () => void execFileSync('umount', ['-l', path]);
  process.once('exit', unmount);
  const ballast = join(path, 'ballast');
  return {
    async fill() {
      const file = await open(ballast, 'a');
      try {
        for (const chunk of [CHUNK, CHUNK.subarray(0, 1)]) for (;;) await file.write(chunk);
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
      } finally {
        await file.close();
      }
    },
    empty: () => rm(ballast, { force: true }),
    unmount() {
      process.off('exit', unmount);
      unmount();
    },
  };
}
