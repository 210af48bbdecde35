/**
 * Threads that wait for the disk. A delivery is some fifty file-system calls: one by one on Node's thread pool they cost several times the work
 * itself, and a slow disk would hold up everything else that waits for that pool. A file system that hangs stops its own thread and nothing else.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { later } from '../time.ts';
import type { Answer, Task } from './thread.ts';

export interface Threads {
  /** Rejects when the thread itself is lost; what the file system says is in the answer. The files of the task are moved, and cleared there. */
  run(task: Task): Promise<Answer>;
  /** What is under way is rejected. */
  close(): void;
}

interface Thread {
  readonly worker: Worker;
  /** In the order of their tasks, which is that of the answers. */
  readonly waiting: PromiseWithResolvers<Answer>[];
  answered: number;
}

/** The same file from source and from `dist`. */
const ENTRY = new URL(`thread${extname(import.meta.url)}`, import.meta.url);

/** After that long without a task a thread goes, and what it remembers of private keys with it, in ms. */
const IDLE_MS = 2_000;

/** Another thread is started when a task finds all at work; they do not keep the process alive while there are no tasks. */
export function openThreads(most: number): Threads {
  const threads = new Set<Thread>();
  let closed = false;

  function start(): Thread {
    // The environment may hold secrets: it is not needed there, and each thread would add it to a diagnostic report.
    const options = { env: {}, execArgv: ['--report-exclude-env'], resourceLimits: { maxYoungGenerationSizeMb: 4 } };
    const worker = new Worker(ENTRY, options);
    const thread: Thread = { worker, waiting: [], answered: 0 };
    threads.add(thread);
    let problem = new Error('its thread was stopped');
    worker.on('message', (answer: Answer) => {
      thread.answered += 1;
      thread.waiting.shift()?.resolve(answer);
      if (thread.waiting.length === 0) worker.unref();
    });
    worker.on('error', (error) => {
      problem = error instanceof Error ? error : problem;
    });
    worker.on('exit', () => {
      threads.delete(thread);
      for (const { reject } of thread.waiting) reject(problem);
    });
    endWhenIdle(thread);
    return thread;
  }

  function endWhenIdle(thread: Thread): void {
    const { answered } = thread;
    later(IDLE_MS, () => {
      if (!threads.has(thread)) return;
      if (thread.waiting.length > 0 || thread.answered > answered) return endWhenIdle(thread);
      threads.delete(thread);
      void thread.worker.terminate();
    });
  }

  function leastBusy(): Thread {
    const [first] = [...threads].sort((a, b) => a.waiting.length - b.waiting.length);
    return first === undefined || (first.waiting.length > 0 && threads.size < most) ? start() : first;
  }

  return {
    run(task) {
      if (closed) return Promise.reject(new Error('the sink was closed'));
      const { worker, waiting } = leastBusy();
      const answer = Promise.withResolvers<Answer>();
      waiting.push(answer);
      worker.ref();
      worker.postMessage(task, task.do === 'replace' ? [...task.files.values()].map(({ buffer }) => buffer) : []);
      return answer.promise;
    },
    close() {
      closed = true;
      // Not waited for: one whose file system hangs would never end.
      for (const { worker } of threads) void worker.terminate();
    },
  };
}
