/** What a start and `doctor` warn about: keys, and keys to keys, that other users of this machine can read. */
import type { Config } from '../config/model.ts';
import { exposedIn } from '../deliver/exposure.ts';
import { isReadableByOthers } from '../files/exposure.ts';

export interface Exposure {
  readonly path: string;
  readonly why: string;
  /** What to do. */
  readonly fix: string;
}

export async function exposuresOf({ secretFiles, sinks }: Config): Promise<readonly Exposure[]> {
  const exposures: Exposure[] = [];
  for (const path of new Set(secretFiles)) {
    if (!(await isReadableByOthers(path))) continue;
    exposures.push({ path, why: 'other users of this machine can read this secret', fix: `Run: chmod 0600 ${path}` });
  }
  for (const sink of sinks) {
    if (sink.kind !== 'directory') continue;
    for (const { path, why } of await exposedIn(sink.path, sink.access)) {
      exposures.push({ path, why, fix: `Run: chmod o-rwx,g-w ${path}` });
    }
  }
  return exposures;
}
