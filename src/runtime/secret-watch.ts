/** Notices that a file behind `file:` has changed, or that what was read from it is refused, and has the secrets read again. */
import { stat } from 'node:fs/promises';
import type { ReloadOutcome } from '../store/presence.ts';
import { alarm, monotonic } from '../time.ts';

export interface SecretWatch {
  /** Somebody refused a secret: files are read again soon, changed or not. */
  doubt(): void;
  stop(): Promise<void>;
}

export interface SecretWatchOptions {
  /** Absolute paths of those that the config in force was read from. */
  readonly files: () => readonly string[];
  /** Reads the secrets again. `isRepeated`: they were refused just before, as they are. */
  readonly refresh: (isRepeated: boolean) => Promise<ReloadOutcome>;
}

/** Between two looks at the files, in ms. */
const LOOK_MS = 2_000;

/** Between two times that they are read, in ms, however often something is refused: each 401 of a fleet is a doubt. */
const READ_MS = 1_000;

/** The same while they cannot be used and stay as they are. */
const REFUSED_MS = 10_000;

export function watchSecrets({ files, refresh }: SecretWatchOptions): SecretWatch {
  /** What the files looked like before they were last read. */
  let known: string | null = null;
  let isDoubted = false;
  /** How often in a row the files were refused as they are. */
  let refused = 0;
  let readAt = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> = Promise.resolve();
  let stopped = false;
  let cancel = alarm(LOOK_MS, next);

  function next(): void {
    looking = look().finally(() => plan(isDoubted ? READ_MS : LOOK_MS));
  }

  function plan(ms: number): void {
    cancel();
    if (!stopped) cancel = alarm(ms, next);
  }

  async function look(): Promise<void> {
    const seen = (await Promise.all(files().map(signature))).join('\n');
    const isChanged = seen !== known;
    if (stopped || !(isChanged || isDoubted || refused > 0)) return;
    // The first refusal is looked into soon: a file that is just being written is empty for a moment.
    const restMs = refused > 1 && !isChanged ? REFUSED_MS : READ_MS;
    if (monotonic() - readAt < restMs) return;
    [known, readAt, isDoubted] = [seen, monotonic(), false];
    if (isChanged) refused = 0;
    const { kind } = await refresh(refused > 0);
    refused = kind === 'refused' ? refused + 1 : 0;
  }

  return {
    doubt() {
      if (isDoubted) return;
      isDoubted = true;
      plan(Math.max(0, readAt + READ_MS - monotonic()));
    },
    async stop() {
      stopped = true;
      cancel();
      await looking;
    },
  };
}

/** Another text for each change, also for one that keeps the size and comes within the same second. A link counts as what it leads to. */
async function signature(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
  }
}
