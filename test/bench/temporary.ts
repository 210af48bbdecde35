import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReleases } from '../../src/runtime/lifecycle.ts';

/** Adds a release. All run at the end, in the reverse order, also after an error. */
export type Later = (name: string, release: () => unknown) => void;

/** Gives `use` a folder of its own, and leaves nothing of it behind. */
export async function inTemporaryFolder<T>(use: (folder: string, later: Later) => Promise<T>): Promise<T> {
  const releases = createReleases((name, message) => console.error(`${name}: ${message}`));
  const folder = await mkdtemp(join(tmpdir(), 'rekeyd-bench-'));
  releases.add('folder', () => rm(folder, { recursive: true, force: true }));
  try {
    return await use(folder, releases.add);
  } finally {
    await releases.release();
  }
}
