/**
 * Entry point of a child process: a worker like any other, except that each client stops at a point of its own, and that the process signals itself once
 * all of them have stopped. Its one argument is a {@link WorkerOrder} as JSON.
 */
import { readFile } from 'node:fs/promises';
import { loadConfig } from '../../src/config/load.ts';
import { createLog } from '../../src/runtime/log.ts';
import { startService } from '../../src/runtime/service.ts';
import { countedPoints } from './points.ts';
import type { Order } from './worker-process.ts';

export interface WorkerOrder extends Order {
  /** By client reference, as {@link countedPoints} counts them. */
  readonly stopAt: Readonly<Record<string, string>>;
  readonly lockMs: number;
  /** After SIGSTOP they go on when the process does. */
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

const order: WorkerOrder = JSON.parse(process.argv[2] ?? '');
const env: Record<string, string> = JSON.parse(await readFile(order.env, 'utf8'));
const awaited = new Set(Object.keys(order.stopAt));
const forever = new Promise<void>(() => {});

const onPoint = countedPoints((point, ref) => {
  if (order.stopAt[ref] !== point) return;
  awaited.delete(ref);
  if (awaited.size === 0) process.kill(process.pid, order.signal);
  return order.signal === 'SIGSTOP' && awaited.size === 0 ? undefined : forever;
});
await startService(await loadConfig(order.config, env), {
  log: createLog({ level: 'error' }),
  schedule: false,
  worker: true,
  http: false,
  hooks: { onPoint },
  lockMs: order.lockMs,
  sealEveryMs: null,
});
