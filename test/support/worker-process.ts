/** A worker in a process of its own, which stops when it has come to a point. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { COMPILED } from './compiled.ts';
import type { Fleet } from './fleet.ts';
import type { WorkerOrder } from './worker.ts';

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url));

/**
 * Killed at the latest when the test ends.
 * @param file the config, as data
 */
export async function startWorker(
  fleet: Fleet,
  file: object,
  order: Omit<WorkerOrder, 'config' | 'env'>,
): Promise<ChildProcess> {
  const base = join(fleet.dir, `worker-${randomUUID()}`);
  const [config, env] = [`${base}.yaml`, `${base}.env.json`];
  await writeFile(config, JSON.stringify(file));
  await writeFile(env, JSON.stringify(fleet.env));
  const child = spawn(process.execPath, [WORKER, JSON.stringify({ config, env, ...order } satisfies WorkerOrder)], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { PATH: process.env.PATH, ...COMPILED },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** True for a process that SIGSTOP has stopped. */
export function isStopped({ pid = 0 }: ChildProcess): boolean {
  return spawnSync('ps', ['-o', 'stat=', '-p', `${pid}`])
    .stdout.toString()
    .startsWith('T');
}
