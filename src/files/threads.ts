/**
 * Threads that wait for the disk. A delivery of keys is some fifty file-system calls: one by one on Node's thread pool they cost several times the work
 * itself, and a slow disk would hold up everything else that waits for that pool. A file system that hangs stops its own thread and nothing else.
 */
import { Worker } from 'node:worker_threads';
import { later } from '../time.ts';

/** Null when a task is done; else the file system's own error. */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

export interface Threads<Task, Fault extends Failure> {
  /**
   * Rejects when the thread itself is lost; what the file system says is in the answer, which is null when all went well.
   * @param moved memory that the task hands over: it is empty here from then on
   */
  run(task: Task, moved?: readonly ArrayBuffer[]): Promise<Fault | null>;
  /** What is under way is rejected. */
  close(): void;
}

interface Thread<Fault> {
  readonly worker: Worker;
  /** In the order of their tasks, which is that of the answers. */
  readonly waiting: PromiseWithResolvers<Fault | null>[];
  answered: number;
}

/** After that long without a task a thread goes, and what it remembers of private keys with it, in ms. */
const IDLE_MS = 2_000;

/**
 * Another thread is started when a task finds all at work; they do not keep the process alive while there are no tasks.
 * @param entry the file that a thread runs: it answers each message with one message
 */
export function openThreads<Task, Fault extends Failure>(entry: URL, most: number): Threads<Task, Fault> {
  const threads = new Set<Thread<Fault>>();
  let closed = false;

  function start(): Thread<Fault> {
    // The environment may hold secrets: it is not needed there, and each thread would add it to a diagnostic report.
    const options = { env: {}, execArgv: ['--report-exclude-env'], resourceLimits: { maxYoungGenerationSizeMb: 4 } };
    const worker = new Worker(entry, options);
    const thread: Thread<Fault> = { worker, waiting: [], answered: 0 };
    threads.add(thread);
    let problem = new Error('its thread was stopped');
    worker.on('message', (answer: Fault | null) => {
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

  function endWhenIdle(thread: Thread<Fault>): void {
    const { answered } = thread;
    later(IDLE_MS, () => {
      if (!threads.has(thread)) return;
      if (thread.waiting.length > 0 || thread.answered > answered) return endWhenIdle(thread);
      threads.delete(thread);
      void thread.worker.terminate();
    });
  }

  function leastBusy(): Thread<Fault> {
    const [first] = [...threads].sort((a, b) => a.waiting.length - b.waiting.length);
    return first === undefined || (first.waiting.length > 0 && threads.size < most) ? start() : first;
  }

  return {
    run(task, moved = []) {
      if (closed) return Promise.reject(new Error('it was closed'));
      const { worker, waiting } = leastBusy();
      const answer = Promise.withResolvers<Fault | null>();
      waiting.push(answer);
      worker.ref();
      worker.postMessage(task, [...moved]);
      return answer.promise;
    },
    close() {
      closed = true;
      // Not waited for: a thread with a file system that hangs would never end.
      for (const { worker } of threads) void worker.terminate();
    },
  };
}
