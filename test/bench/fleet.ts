/** Rotating the whole fleet of a stage, from the request to the last destroyed key, and what that took. */

import { inParallel } from '../../src/parallel.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { until } from '../support/patient.ts';
import type { Child } from './child.ts';
import { type Snapshot, snapshot, spentPerRotation } from './spent.ts';
import type { Stage } from './stage.ts';

const keys = storeKeys('rekeyd');

const PATIENCE_MS = 600_000;
const LANES = 100;

export interface FleetRun {
  readonly rotations: number;
  readonly patches: number;
  readonly seconds: number;
  /** Of all workers, for one rotation. */
  readonly cpuMsEach: number;
  /** Per rotation: commands, round trips, fsyncs, requests, CPU. */
  readonly spent: Readonly<Record<string, number>>;
}

/** @throws when a rotation did not finish as it should */
export async function rotateFleet(stage: Stage, workers: readonly Child[]): Promise<FleetRun> {
  const redis = await connectRedis(stage.resources.redis, { name: 'bench' });
  try {
    const before: Snapshot = await snapshot(stage, workers, redis);
    const startedAt = performance.now();
    const rotations = await requestAll(stage);
    await until('the fleet is rotated', async (saw) => saw(await redis.scard(keys.open)) === 0, PATIENCE_MS);
    const seconds = (performance.now() - startedAt) / 1000;
    const after = await snapshot(stage, workers, redis);
    await checkFinished(stage);
    const patches = after.server.patches - before.server.patches;
    const cpuMsEach = (after.workerCpuMs - before.workerCpuMs) / rotations;
    return { rotations, patches, seconds, cpuMsEach, spent: spentPerRotation(before, after, rotations) };
  } finally {
    redis.disconnect();
  }
}

/** As any producer does it. Answers how many rotations it came to, once all of them have begun. */
async function requestAll({ queues }: Stage): Promise<number> {
  // The fleet begins with foreign keys: the first rotation enrolls its clients.
  const data = {
    v: 1,
    select: { all: true },
    reason: 'benchmark',
    actor: 'bench',
    compromised: false,
    take_over: true,
  };
  const id = await queues.request(data);
  const job = await until(
    'the request is taken up',
    async () => {
      const found = await queues.requests.getJob(id);
      return found?.finishedOn !== undefined && found;
    },
    PATIENCE_MS,
  );
  if (job.failedReason) throw new Error(job.failedReason);
  return job.returnvalue.rotations.length;
}

async function checkFinished({ resources: { store } }: Stage): Promise<void> {
  await inParallel(await store.clientRefs(), LANES, async (ref) => {
    const [last] = await store.history(ref);
    if (last?.state !== 'finished') throw new Error(`${ref}: the rotation is ${last?.state}: ${last?.error}`);
  });
}
