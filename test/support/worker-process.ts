/** Processes of tests: each reads what to do from its one argument, an order as JSON. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { COMPILED } from './compiled.ts';
import type { Fleet } from './fleet.ts';
import type { WorkerOrder } from './worker.ts';

/** Members of every order. Paths: the config file, and a JSON object with the environment that its references point to. */
export interface Order {
  readonly config: string;
  readonly env: string;
}

/**
 * Killed at the latest when the test ends.
 * @param file the config, as data
 */
export async function startProgram<Wanted extends Order>(
  fleet: Fleet,
  program: URL,
  order: Omit<Wanted, keyof Order>,
  file: object = fleet.file,
): Promise<ChildProcess> {
  const base = join(fleet.dir, `process-${randomUUID()}`);
  const [config, env] = [`${base}.yaml`, `${base}.env.json`];
  await writeFile(config, JSON.stringify(file));
  await writeFile(env, JSON.stringify(fleet.env));
  const child = spawn(process.execPath, [fileURLToPath(program), JSON.stringify({ ...order, config, env })], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { PATH: process.env.PATH, ...COMPILED },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** A worker that stops when it has come to a point. */
export function startWorker(fleet: Fleet, file: object, order: Omit<WorkerOrder, keyof Order>): Promise<ChildProcess> {
  return startProgram<WorkerOrder>(fleet, new URL('worker.ts', import.meta.url), order, file);
}

/** True for a process that SIGSTOP has stopped. */
export function isStopped({ pid = 0 }: ChildProcess): boolean {
  return spawnSync('ps', ['-o', 'stat=', '-p', `${pid}`])
    .stdout.toString()
    .startsWith('T');
}
