/**
 * Jobs that the config of this worker does not know: their client, app or policy may stand in the config of another worker of the namespace, or be about to
 * stand in this one. They go back with a delay, and fail only when nobody has taken them in some ten minutes.
 */
import { DelayedError, type Job, UnrecoverableError } from 'bullmq';
import { members } from '../src/core/reply.ts';
import { systemClock } from '../src/time.ts';
import type { JobContext } from './context.ts';

/** The first delay and the longest, in ms. Each is twice as long as the one before. */
const FIRST_MS = 5_000;
const LONGEST_MS = 60_000;

/** With these delays, some ten minutes. */
export const MOST_TRIES = 12;

/** What such a job tells of itself, as its progress. */
interface PutBack {
  /** How often it was put back. */
  readonly unknown: number;
  readonly why: string;
}

/** How long a job stays away that was put back that often before, in ms. */
export function awayMs(before: number): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** before);
}

/** @throws DelayedError; UnrecoverableError when it was put back often enough */
export async function putBack(job: Job, token: string | undefined, why: string, { log }: JobContext): Promise<never> {
  const { unknown = 0 } = members(job.progress) as Partial<PutBack>; // only this function writes it
  if (unknown >= MOST_TRIES) throw new UnrecoverableError(why);
  const ms = awayMs(unknown);
  log.warn(
    { queue: job.queueName, job: job.id, name: job.name, tries: unknown + 1, wait_ms: ms, error: why },
    'the config of this worker does not know what a job is about: another worker may',
  );
  await job.updateProgress({ unknown: unknown + 1, why } satisfies PutBack);
  await job.moveToDelayed(systemClock.now() + ms, token);
  throw new DelayedError();
}
