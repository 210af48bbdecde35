/**
 * Entry point of a child process: imports the keys of a folder, where each client stops at a point of its own. The process kills itself once all of them
 * have stopped. Its one argument is an {@link ImportOrder} as JSON.
 */
import { readFile } from 'node:fs/promises';
import { loadConfig } from '../../src/config/load.ts';
import { createLog } from '../../src/runtime/log.ts';
import { openResources } from '../../src/runtime/resources.ts';
import { systemClock } from '../../src/time.ts';
import { importingAll } from './importing.ts';
import { countedPoints } from './points.ts';
import type { Order } from './worker-process.ts';

export interface ImportOrder extends Order {
  /** Path of the folder of key files. */
  readonly folder: string;
  /** By client reference, as {@link countedPoints} counts them. Without any, it runs to its end. */
  readonly stopAt: Readonly<Record<string, string>>;
}

const order: ImportOrder = JSON.parse(process.argv[2] ?? '');
const env: Record<string, string> = JSON.parse(await readFile(order.env, 'utf8'));
const config = await loadConfig(order.config, env);
const awaited = new Set(Object.keys(order.stopAt));
const forever = new Promise<void>(() => {});
const onPoint = countedPoints((point, ref) => {
  if (order.stopAt[ref] !== point) return;
  awaited.delete(ref);
  if (awaited.size === 0) process.kill(process.pid, 'SIGKILL');
  return forever;
});
const resources = await openResources(config, { log: createLog({ level: 'error' }), clock: systemClock });
const { rows } = await importingAll({ resources, config }, order.folder, {}, { onPoint });
await resources.close();
process.exit(rows.every(({ error }) => error === null) ? 0 : 1);
