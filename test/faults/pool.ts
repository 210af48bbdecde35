/** Keeps one to three workers running, as a supervisor does, and kills them as bad luck does. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { History } from './history.ts';
import { POINTS } from './points.ts';
import type { Chance } from './random.ts';
import type { WorkerOrder } from './worker-child.ts';

const WORKER = fileURLToPath(new URL('worker-child.ts', import.meta.url));

/** How long the jobs of a killed worker wait for the next one. */
export const LOCK_MS = 1_500;

const HOUR_MS = 3_600_000;
const SUPERVISOR_MS = 50;

export interface Pool {
  /** Until the first worker works. */
  ready(): Promise<void>;
  /** SIGKILL, now. False when none is running. */
  kill(): boolean;
  /** Stands still for longer than its locks hold, and then goes on as if nothing had been. */
  freeze(ms: number): Promise<boolean>;
  /** From now on nobody dies at a point. */
  calm(): void;
  stop(): Promise<void>;
  readonly kills: number;
}

interface Setting {
  readonly dir: string;
  readonly size: number;
  readonly config: string;
  readonly env: Readonly<Record<string, string>>;
  readonly history: History;
  readonly chance: Chance;
  readonly deadly: boolean;
}

interface Running {
  readonly worker: number;
  readonly child: ChildProcess;
  readonly order: WorkerOrder;
  /** Works, and does not stand still. */
  awake: boolean;
}

export function startPool({ dir, size, config, env, history, chance, deadly }: Setting): Pool {
  const slots = new Map<number, Running>();
  const log = openSync(join(dir, 'workers.log'), 'a');
  const loops: Promise<void>[] = [];
  const first = Promise.withResolvers<void>();
  let started = 0;
  let kills = 0;
  let lively = deadly;
  let stopping = false;

  function orderOf(worker: number): WorkerOrder {
    const mayDie = lively && chance.next() < 0.75;
    const dieAt = mayDie ? { point: chance.pick(POINTS), nth: chance.between(1, 8) } : null;
    const clockOffset = chance.next() < 0.25 ? chance.pick([-HOUR_MS, HOUR_MS]) : 0;
    return { config, env, points: join(dir, `points-${worker}.jsonl`), dieAt, lockMs: LOCK_MS, clockOffset };
  }

  async function run(slot: number): Promise<void> {
    while (!stopping) {
      started += 1;
      const worker = started;
      const order = orderOf(worker);
      const child = fork(WORKER, [JSON.stringify(order)], {
        stdio: ['ignore', log, log, 'ipc'],
        env: { PATH: process.env.PATH },
      });
      const running: Running = { worker, child, order, awake: false };
      slots.set(slot, running);
      history.note({ kind: 'worker', worker, what: 'started' });
      child.once('message', () => {
        running.awake = true;
        first.resolve();
      });
      const [code, signal] = await once(child, 'exit');
      slots.delete(slot);
      history.note({ kind: 'worker', worker, what: `ended with ${signal ?? code}` });
      if (signal === 'SIGKILL') {
        kills += 1;
        history.note({ kind: 'kill', worker, where: lastPoint(order.points) ?? 'before its first point' });
      }
      await delay(SUPERVISOR_MS);
    }
  }

  for (let slot = 0; slot < size; slot += 1) loops.push(run(slot));

  const awake = () => [...slots.values()].filter(({ awake }) => awake);

  return {
    ready: () => first.promise,
    kill() {
      const running = awake();
      if (running.length === 0) return false;
      chance.pick(running).child.kill('SIGKILL');
      return true;
    },
    async freeze(ms) {
      const running = awake();
      if (running.length === 0) return false;
      const chosen = chance.pick(running);
      chosen.awake = false;
      chosen.child.kill('SIGSTOP');
      history.note({ kind: 'worker', worker: chosen.worker, what: `stands still for ${ms} ms` });
      await delay(ms);
      chosen.child.kill('SIGCONT');
      chosen.awake = true;
      return true;
    },
    calm() {
      lively = false;
      for (const { child, order } of slots.values()) dieLate(child, order);
    },
    async stop() {
      stopping = true;
      for (const { child } of slots.values()) if (child.connected) child.disconnect();
      await Promise.all(loops);
    },
    get kills() {
      return kills;
    },
  };
}

/** A worker with a death sentence that never came is replaced by one without. */
function dieLate(child: ChildProcess, { dieAt }: WorkerOrder): void {
  if (dieAt !== null) child.kill('SIGKILL');
}

function lastPoint(file: string): string | null {
  try {
    const last = readFileSync(file, 'utf8').trimEnd().split('\n').at(-1);
    return last === undefined || last === '' ? null : `${JSON.parse(last).point}`;
  } catch {
    return null;
  }
}
