import type { Redis } from 'ioredis';
import { storeKeys } from '../../src/store/keys.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { until } from '../support/patient.ts';
import { type Figure, judge, medians, type Result, type Scale } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import { onStage, type Setting, type Stage } from './stage.ts';

const keys = storeKeys('rekeyd');

/** By then a record has all that it remembers of former keys: it grows no further. Its history does, up to 50 rotations. */
const ROTATIONS = 12;
const PER_MIB = 1024 ** 2;

interface Kind {
  readonly id: string;
  readonly alg: 'ES256' | 'RS256';
  readonly clients: number;
  /** MiB for 1,000 clients. */
  readonly goal: number;
  /** In MiB too, for the record of one client. */
  readonly record?: { readonly id: string; readonly goal: number };
}

const KINDS: readonly Kind[] = [
  { id: 'P10', alg: 'ES256', clients: 200, goal: 16, record: { id: 'P12', goal: 4 / 1024 } },
  { id: 'P10-rsa', alg: 'RS256', clients: 40, goal: 32 },
];

/** What a fleet costs in the memory of Redis: docs/sizing.md is made of this. And how large a record is: each commit writes all of it. */
export const p10: Figure = {
  ids: ['P10', 'P10-rsa', 'P12'],
  async measure(scale) {
    const results: Result[] = [];
    for (const kind of KINDS) results.push(...(await measured(kind, scale)));
    return results;
  },
};

async function measured({ id, alg, clients, goal, record }: Kind, { quick }: Scale): Promise<readonly Result[]> {
  const count = quick ? clients / 10 : clients;
  const setting: Setting = { appendfsync: 'everysec', strategy: 'overlap', clients: count, concurrency: 10, alg };
  const { sizes, largest } = await onStage(setting, async (stage) => {
    const worker = await stage.startWorker();
    const redis = await connectRedis(stage.resources.redis, { name: 'bench' });
    try {
      const empty = await sizesOf(redis);
      const after: Sizes[] = [];
      for (let rotation = 0; rotation < ROTATIONS; rotation += 1) {
        await rotateFleet(stage, [worker]);
        await settled(stage);
        after.push(less(await sizesOf(redis), empty));
      }
      return { sizes: after, largest: await largestRecord(redis) };
    } finally {
      redis.disconnect();
    }
  });
  const memory = judge(
    {
      id,
      what: `memory of Redis for 1,000 clients with ${alg} after ${ROTATIONS} rotations each, without audit log and ended jobs`,
      unit: 'MiB',
      goal,
      baseline: baselineOf(sizes),
    },
    sizes.slice(-1).map((size) => (clientBytes(size) * 1_000) / PER_MIB),
  );
  if (record === undefined) return [memory];
  const what = `largest record at rest with ${alg} after ${ROTATIONS} rotations: its JSON, without its history`;
  return [memory, judge({ id: record.id, what, unit: 'MiB', goal: record.goal, baseline: {} }, [largest / PER_MIB])];
}

/** Bytes of JSON. */
async function largestRecord(redis: Redis): Promise<number> {
  const names = await redis.keys(`${RECORD}*`);
  return Math.max(...(await Promise.all(names.map((name) => redis.hstrlen(name, 'record')))));
}

function clientBytes({ record, history, sealed, seen, records }: Sizes): number {
  return (record + history + sealed + seen) / records;
}

/** Bytes; `records` is a number of clients. */
interface Sizes {
  readonly used: number;
  readonly records: number;
  readonly record: number;
  readonly history: number;
  readonly sealed: number;
  readonly seen: number;
  readonly audit: number;
  readonly jobs: number;
}

function baselineOf(sizes: readonly Sizes[]): Readonly<Record<string, number>> {
  const [first, last] = [sizes[0], sizes.at(-1)];
  if (first === undefined || last === undefined) return {};
  return medians([
    {
      clients: last.records,
      client_bytes_after_1: clientBytes(first),
      [`client_bytes_after_${ROTATIONS}`]: clientBytes(last),
      record_bytes: last.record / last.records,
      history_bytes_per_rotation: last.history / last.records / ROTATIONS,
      sealed_bytes: last.sealed / last.records,
      seen_bytes: last.seen / last.records,
      audit_bytes_per_rotation: (last.audit - first.audit) / last.records / (ROTATIONS - 1),
      ended_jobs_bytes: last.jobs,
      // With what the server itself needs for all of it, connections included; jobs and audit log taken off.
      used_memory_bytes_per_client: (last.used - last.audit - last.jobs) / last.records,
    },
  ]);
}

/** A job that has just ended is still being put away. */
async function settled({ queues, resources }: Stage): Promise<void> {
  const queue = queues.rotateQueue(resources.config.deployments[0]?.id ?? '');
  await until('no job is under way', async () => (await queue.getActiveCount()) + (await queue.count()) === 0);
}

const RECORD = keys.record('' as Parameters<typeof keys.record>[0]); // the part before the reference
const HISTORY = keys.history('' as Parameters<typeof keys.history>[0]); // the part before the reference
const SEALED = keys.sealed('' as Parameters<typeof keys.sealed>[0]);

async function sizesOf(redis: Redis): Promise<Sizes> {
  const info = await redis.info('memory');
  const sums = { record: 0, history: 0, sealed: 0, seen: 0, audit: 0, jobs: 0 };
  let records = 0;
  for (const key of await redis.keys('*')) {
    const bytes = (await redis.memory('USAGE', key, 'SAMPLES', 0)) ?? 0;
    if (key.startsWith(RECORD)) records += 1;
    sums[kindOf(key)] += bytes;
  }
  return { used: Number(/^used_memory:(\d+)/m.exec(info)?.[1]), records, ...sums };
}

function kindOf(key: string): 'record' | 'history' | 'sealed' | 'seen' | 'audit' | 'jobs' {
  if (key.startsWith(RECORD)) return 'record';
  if (key.startsWith(HISTORY)) return 'history';
  if (key.startsWith(SEALED)) return 'sealed';
  if (key === keys.audit) return 'audit';
  return key.includes(':store:') ? 'seen' : 'jobs';
}

function less(now: Sizes, before: Sizes): Sizes {
  const { used, record, history, sealed, seen, audit, jobs } = now;
  return {
    records: now.records,
    used: used - before.used,
    record: record - before.record,
    history: history - before.history,
    sealed: sealed - before.sealed,
    seen: seen - before.seen,
    audit: audit - before.audit,
    jobs: jobs - before.jobs,
  };
}
