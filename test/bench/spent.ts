/** What a fleet run costs each process, counted from outside. */
import type { Redis } from 'ioredis';
import type { Child, Usage } from './child.ts';
import type { ServerCounts } from './server-child.ts';
import type { Stage } from './stage.ts';
import type { WorkerUsage } from './worker-child.ts';

export interface Snapshot {
  readonly server: ServerCounts;
  readonly serverCpuMs: number;
  readonly workerCpuMs: number;
  readonly workerFsyncs: number;
  readonly workerKeysMade: number;
  /** Numbers of `INFO`. */
  readonly redis: Readonly<Record<string, number>>;
  /** Calls by command, those from scripts too. */
  readonly commands: Readonly<Record<string, number>>;
}

export async function snapshot(stage: Stage, workers: readonly Child[], redis: Redis): Promise<Snapshot> {
  const used = await Promise.all(workers.map((worker) => worker.ask<WorkerUsage>('usage')));
  const info = parseInfo(`${await redis.info('stats')}\n${await redis.info('cpu')}`);
  return {
    server: await stage.server.ask<ServerCounts>('counts'),
    serverCpuMs: (await stage.server.ask<Usage>('usage')).cpuMs,
    workerCpuMs: used.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    workerFsyncs: used.reduce((sum, { fsyncs }) => sum + fsyncs, 0),
    workerKeysMade: used.reduce((sum, { keysMade }) => sum + keysMade, 0),
    redis: Object.fromEntries([...info].map(([name, value]) => [name, Number(value)])),
    commands: Object.fromEntries(
      [...parseInfo(await redis.info('commandstats'))].map(([name, value]) => [
        name.replace('cmdstat_', ''),
        Number(/calls=(\d+)/.exec(value)?.[1]),
      ]),
    ),
  };
}

/** `bzpopmin` is BullMQ's, `waitaof` the store's, `evalsha` of both; the others count calls from within their scripts too. */
const SENT = ['eval', 'evalsha', 'fcall', 'waitaof', 'bzpopmin', 'hget', 'hgetall'];

export function spentPerRotation(before: Snapshot, after: Snapshot, rotations: number): Record<string, number> {
  const each = (from: number | undefined, to: number | undefined) => round(((to ?? 0) - (from ?? 0)) / rotations);
  const info = (name: string) => each(before.redis[name], after.redis[name]);
  return {
    http_requests: each(before.server.requests, after.server.requests),
    looks: each(before.server.looks, after.server.looks),
    patches: each(before.server.patches, after.server.patches),
    proofs: each(before.server.proofs, after.server.proofs),
    http_kib_answered: each(before.server.bytes / 1024, after.server.bytes / 1024),
    worker_cpu_ms: each(before.workerCpuMs, after.workerCpuMs),
    redis_cpu_ms: round(info('used_cpu_user') * 1000 + info('used_cpu_sys') * 1000),
    server_cpu_ms: each(before.serverCpuMs, after.serverCpuMs),
    worker_fsyncs: each(before.workerFsyncs, after.workerFsyncs),
    worker_keys_made: each(before.workerKeysMade, after.workerKeysMade),
    // With `appendfsync always` Redis syncs once in each of these turns that wrote something.
    redis_loop_turns: info('eventloop_cycles'),
    redis_socket_reads: info('total_reads_processed'),
    redis_kib_received: round(info('total_net_input_bytes') / 1024),
    redis_kib_sent: round(info('total_net_output_bytes') / 1024),
    redis_commands_with_those_in_scripts: info('total_commands_processed'),
    ...Object.fromEntries(SENT.map((name) => [`redis_${name}`, each(before.commands[name], after.commands[name])])),
  };
}

function parseInfo(info: string): ReadonlyMap<string, string> {
  return new Map(
    info.split(/\r?\n/).flatMap((line) => {
      const colon = line.indexOf(':');
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : [];
    }),
  );
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}
