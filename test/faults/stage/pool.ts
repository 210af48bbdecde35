/** Keeps workers running, as a supervisor does, and kills them as bad luck does. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { COMPILED } from '../../support/compiled.ts';
import type { History } from '../evidence/history.ts';
import type { Chance } from '../random.ts';
import type { Confession, Sentence } from '../trouble/sentence.ts';
import type { Word, WorkerOrder } from './worker-child.ts';

const WORKER = fileURLToPath(new URL('worker-child.ts', import.meta.url));

/** How long the jobs of a killed worker wait for the next one. */
export const LOCK_MS = 1_500;

const SUPERVISOR_MS = 50;

/** What the workers of a scenario are like; each worker is asked for when it starts. */
export interface Crew {
  readonly size: number;
  readonly lockMs?: number;
  /** How many machines they are on; one when absent. */
  readonly machines?: number;
  /** Whether it has the ticks of its policies. */
  readonly schedule?: () => boolean;
  /** What is done to the next one. Nothing once the pool is calm. */
  readonly sentences?: () => readonly Sentence[];
  readonly clockOffset?: () => number;
  /** They serve the HTTP API, each on its own machine: see `ports` of the fleet. */
  readonly http?: true;
}

export interface Pool {
  /** Until the first worker works. */
  ready(): Promise<void>;
  /** SIGKILL, now: to the worker in that place, or to any. False when none is running. */
  kill(slot?: number): boolean;
  /** Stands still for longer than its locks hold, and then goes on as if nothing had been. */
  freeze(ms: number): Promise<boolean>;
  /** The machine of one worker, or of all, believes from now on that it is `offset` ms later than it is. */
  setClock(offset: number, whose?: 'one' | 'all'): void;
  /** Kills all, and starts none, until `meanwhile` is done. */
  away(meanwhile: () => Promise<unknown>): Promise<void>;
  /** Every worker that holds goes on. */
  goOn(): void;
  /** From now on nobody dies at a point. */
  calm(): void;
  stop(): Promise<void>;
  /** By SIGKILL, wherever. */
  readonly kills: number;
  /** Those of them that came from outside, at any moment. */
  readonly randomKills: number;
}

interface Setting extends Crew {
  readonly dir: string;
  /** For each machine. */
  readonly configs: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly history: History;
  readonly chance: Chance;
  readonly onDeath: (point: string) => void;
  /** A worker waits for this to resolve before it goes on. */
  readonly onConfession: (confession: Confession) => void;
}

interface Running {
  readonly worker: number;
  readonly child: ChildProcess;
  readonly order: WorkerOrder;
  /** Works, and does not stand still. */
  awake: boolean;
  /** Killed from outside. */
  shot: boolean;
  /** Has begun to work. */
  isReady: boolean;
}

export function startPool(setting: Setting): Pool {
  const { dir, size, configs, env, history, chance, onDeath, onConfession } = setting;
  const machines = Math.min(setting.machines ?? 1, configs.length);
  const slots = new Map<number, Running>();
  const log = openSync(join(dir, 'workers.log'), 'a');
  const first = Promise.withResolvers<void>();
  let started = 0;
  let kills = 0;
  let randomKills = 0;
  let lively = true;
  let stopping = false;
  let allowed = Promise.resolve();

  function orderOf(worker: number, slot: number): WorkerOrder {
    return {
      config: configs[slot % machines] ?? '',
      env,
      points: join(dir, `points-${worker}.jsonl`),
      sentences: lively ? (setting.sentences?.() ?? []) : [],
      lockMs: setting.lockMs ?? LOCK_MS,
      clockOffset: setting.clockOffset?.() ?? 0,
      schedule: setting.schedule?.() ?? false,
      http: setting.http ?? false,
    };
  }

  function launch(slot: number): Running {
    started += 1;
    const worker = started;
    const order = orderOf(worker, slot);
    const child = fork(WORKER, [JSON.stringify(order)], {
      stdio: ['ignore', log, log, 'ipc'],
      env: { PATH: process.env.PATH, ...COMPILED },
    });
    const running: Running = { worker, child, order, awake: false, shot: false, isReady: false };
    slots.set(slot, running);
    history.note({ kind: 'worker', worker, what: 'started' });
    child.on('message', (message: 'ready' | Confession) => {
      if (message === 'ready') {
        running.awake = true;
        running.isReady = true;
        first.resolve();
        return;
      }
      history.note({ kind: 'deed', worker, ...message });
      onConfession(message);
      if (message.deed === 'drop') tell(child, { say: 'go on' });
    });
    return running;
  }

  async function run(slot: number): Promise<void> {
    for (await allowed; !stopping; await allowed) {
      const running = launch(slot);
      const { worker, child, order } = running;
      const [code, signal] = await once(child, 'exit');
      slots.delete(slot);
      history.note({ kind: 'worker', worker, what: `ended with ${signal ?? code}` });
      if (signal === null && running.isReady && !stopping) history.note({ kind: 'crash', worker, code: Number(code) });
      if (signal === 'SIGKILL') {
        kills += 1;
        if (running.shot) randomKills += 1;
        const where = lastPoint(order.points);
        history.note({ kind: 'kill', worker, where: where ?? 'before its first point' });
        if (!running.shot && where !== null) onDeath(where);
      }
      await delay(SUPERVISOR_MS);
    }
  }

  const loops = Array.from({ length: size }, (_, slot) => run(slot));

  const awake = () => [...slots.values()].filter(({ awake }) => awake);

  function shoot(running: Running): void {
    running.shot = true;
    running.child.kill('SIGKILL');
  }

  return {
    ready: () => first.promise,
    kill(slot) {
      const running = slot === undefined ? awake() : awake().filter((one) => one === slots.get(slot));
      if (running.length === 0) return false;
      shoot(chance.pick(running));
      return true;
    },
    async freeze(ms) {
      const running = awake();
      if (running.length === 0) return false;
      const chosen = chance.pick(running);
      chosen.awake = false;
      chosen.child.kill('SIGSTOP');
      history.note({ kind: 'frozen', worker: chosen.worker, ms });
      await delay(ms);
      chosen.child.kill('SIGCONT');
      chosen.awake = true;
      return true;
    },
    setClock(offset, whose = 'one') {
      const running = awake();
      if (running.length === 0) return;
      for (const { worker, child } of whose === 'all' ? running : [chance.pick(running)]) {
        history.note({ kind: 'worker', worker, what: `believes to be ${offset} ms ahead` });
        tell(child, { say: 'clock', offset });
      }
    },
    async away(meanwhile) {
      const back = Promise.withResolvers<void>();
      allowed = back.promise;
      try {
        const gone = [...slots.values()].map(async (running) => {
          const exit = once(running.child, 'exit');
          shoot(running);
          await exit;
        });
        await Promise.all(gone);
        await meanwhile();
      } finally {
        back.resolve();
      }
    },
    goOn() {
      for (const { child } of slots.values()) tell(child, { say: 'go on' });
    },
    calm() {
      lively = false;
      // One with a death sentence that never came is replaced by one without.
      for (const running of slots.values())
        if (running.order.sentences.some(({ deed }) => deed === 'kill')) shoot(running);
    },
    async stop() {
      stopping = true;
      for (const { child } of slots.values()) if (child.connected) child.disconnect();
      await Promise.all(loops);
    },
    get kills() {
      return kills;
    },
    get randomKills() {
      return randomKills;
    },
  };
}

/** It may be dying. */
function tell(child: ChildProcess, word: Word): void {
  if (child.connected) child.send(word, () => {});
}

function lastPoint(file: string): string | null {
  try {
    const last = readFileSync(file, 'utf8').trimEnd().split('\n').at(-1);
    return last === undefined || last === '' ? null : `${JSON.parse(last).point}`;
  } catch {
    return null;
  }
}
