/** Processes of their own for everything that is measured, started with one order and asked by message. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { wantedThreads } from '../../src/runtime/thread-pool.ts';
import { built, flagsFor, SHIPPED_ENV, SHIPPED_FLAGS } from './built.ts';

export interface Child<Ready = unknown> {
  readonly pid: number;
  /** What it said once it was ready. */
  readonly ready: Ready;
  /** The caller names what the child's handler of that name answers. */
  ask<Answer>(question: string, details?: unknown): Promise<Answer>;
  stop(): Promise<void>;
}

/** What a process has used since it started. */
export interface Usage {
  readonly cpuMs: number;
  readonly rssMiB: number;
}

/** How long a child may take to close. */
const PATIENCE_MS = 10_000;

interface Message {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: string;
}

/** Counts the fsyncs and new keys of all threads. */
const COUNTED = ['--import', built('test/bench/counters.js').href];

type Name = 'bare' | 'delivery' | 'effects' | 'server' | 'worker';

/** Those that run compiled, and Node’s flags for them. */
const BUILT_WITH: Partial<Record<Name, readonly string[]>> = {
  worker: [...SHIPPED_FLAGS, ...COUNTED],
  delivery: [...SHIPPED_FLAGS, ...COUNTED],
  effects: COUNTED,
};

/** As cli.js sets it. */
const WORKER_ENV = { ...SHIPPED_ENV, UV_THREADPOOL_SIZE: String(wantedThreads()), ...process.env };

function pathOf(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}

/** @param name of a file here, without `-child.ts`; Node's own flags for it come from `BENCH_<NAME>_FLAGS` */
export async function startChild<Ready>(name: Name, order: unknown): Promise<Child<Ready>> {
  const flags = BUILT_WITH[name];
  const file = flags === undefined ? pathOf(`${name}-child.ts`) : fileURLToPath(built(`test/bench/${name}-child.js`));
  const child = fork(file, [JSON.stringify(order)], {
    execArgv: [...(flags ?? []), ...flagsFor(name)],
    stdio: ['ignore', 2, 2, 'ipc'],
    env: name === 'worker' ? WORKER_ENV : process.env,
  });
  const waiting = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>();
  let last = 0;
  const expect = (id: number) => new Promise<unknown>((resolve, reject) => waiting.set(id, { resolve, reject }));
  child.on('message', ({ id, answer, error }: Message) => {
    if (error === undefined) waiting.get(id)?.resolve(answer);
    else waiting.get(id)?.reject(new Error(`${name}: ${error}`));
    waiting.delete(id);
  });
  child.once('exit', (code) => {
    for (const { reject } of waiting.values()) reject(new Error(`the ${name} process ended with ${code}`));
  });

  return {
    pid: child.pid ?? 0,
    ready: (await expect(0)) as Ready, // its entry file and the caller agree on it
    ask<Answer>(question: string, details?: unknown) {
      last += 1;
      child.send({ id: last, question, details });
      return expect(last) as Promise<Answer>; // as documented
    },
    stop: () => stop(child),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.disconnect();
  await gone;
}

/** In the child: ready, and answering until the parent disconnects; then `close`, and the end. */
export function serveParent(
  ready: unknown,
  handlers: Readonly<Record<string, (details: never) => unknown>>,
  close: () => unknown,
): void {
  process.on('message', async ({ id, question, details }: { id: number; question: string; details: unknown }) => {
    try {
      // Each handler knows what its question comes with.
      process.send?.({ id, answer: await handlers[question]?.(details as never) });
    } catch (error) {
      process.send?.({ id, error: String(error) });
    }
  });
  process.once('disconnect', async () => {
    setTimeout(() => process.exit(1), PATIENCE_MS); // Redis may be gone already, and then nothing closes
    await close();
    process.exit();
  });
  process.send?.({ id: 0, answer: ready });
}

/** The order that this child was started with. */
export function orderOf<Order>(): Order {
  return JSON.parse(process.argv[2] ?? '') as Order; // written by startChild's caller
}

export function usage(): Usage {
  const { user, system } = process.cpuUsage();
  return { cpuMs: (user + system) / 1000, rssMiB: process.memoryUsage.rss() / 2 ** 20 };
}
