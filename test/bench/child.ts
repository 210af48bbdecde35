/** Processes of their own for everything that is measured, started with one order and asked by message. */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { wantedThreads } from '../../src/runtime/thread-pool.ts';

export interface Child<Ready = unknown> {
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

/** Where {@link ./tsconfig.json} puts the worker. Run from the source, it would hold Node's TypeScript loader too: 80 MiB that no installation has. */
const BUILT = '../../node_modules/.cache/rekeyd-bench/test/bench/';

/** As in the first line of cli.js; and the fsyncs of all its threads are counted. */
const WORKER_FLAGS = ['--max-semi-space-size=4', '--import', new URL(`${BUILT}fsyncs.js`, import.meta.url).href];

/** As cli.js sets it. */
const WORKER_ENV = { UV_THREADPOOL_SIZE: String(wantedThreads()), ...process.env };

/** Compiles the worker, so that it is measured as it is installed. */
export function buildWorker(): void {
  const [tsc, project] = ['../../node_modules/typescript/bin/tsc', './tsconfig.json'].map(pathOf);
  execFileSync(process.execPath, [tsc ?? '', '-p', project ?? ''], { stdio: ['ignore', 2, 2] });
}

function pathOf(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}

/** @param name of a file here, without `-child.ts`; Node's own flags for it come from `BENCH_<NAME>_FLAGS` */
export async function startChild<Ready>(name: 'bare' | 'server' | 'worker', order: unknown): Promise<Child<Ready>> {
  const file = pathOf(name === 'worker' ? `${BUILT}worker-child.js` : `${name}-child.ts`);
  const shipped = name === 'worker' ? WORKER_FLAGS : [];
  const more = (process.env[`BENCH_${name.toUpperCase()}_FLAGS`] ?? '').split(' ').filter(Boolean);
  const child = fork(file, [JSON.stringify(order)], {
    execArgv: [...shipped, ...more],
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

/** In the child: ready, and answering until the parent lets go; then `close`, and the end. */
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
