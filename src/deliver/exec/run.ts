/** Runs a program once, bounded in time and in what it prints. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { ExecSinkConfig } from '../../config/sinks/model.ts';
import { messageOf } from '../../errors.ts';
import { codeOf } from '../../files/durable.ts';
import { alarm } from '../../time.ts';

export interface RunOptions extends Omit<ExecSinkConfig, 'kind'> {
  readonly input: Uint8Array;
}

export type Ended =
  | { readonly kind: 'ended'; readonly code: number | null; readonly signal: string | null; readonly output: Buffer }
  | { readonly kind: 'timeout'; readonly isKilled: boolean; readonly output: Buffer }
  /** It could not be started: an errno name, and a text. */
  | { readonly kind: 'unstarted'; readonly code: string; readonly why: string };

/** In bytes: the last of what it prints, on both streams together. The rest is read and dropped, so that the program never waits for a reader. */
const MOST_OUTPUT = 16 * 1024;

/** How long to wait for its end after it was killed, in ms. A program with more rights than rekeyd, such as `sudo`, cannot be killed. */
const KILL_MS = 2_000;

/** How long to wait for the end of its output after it has ended, in ms. What it left running may hold its output open. */
const DRAIN_MS = 500;

/** Never rejects. At the time-out its whole process group is killed. What it leaves in the background without a time-out goes on. */
export function run(options: RunOptions): Promise<Ended> {
  const ending = Promise.withResolvers<Ended>();
  const fail = (error: unknown) => ending.resolve({ kind: 'unstarted', code: codeOf(error), why: messageOf(error) });
  try {
    // Node throws what it does not expect of a start, such as a missing right.
    const child = start(options);
    child.on('error', fail);
    watch(child, options, ending.resolve);
  } catch (error) {
    fail(error);
  }
  return ending.promise;
}

function start({ program, args, user, group, env }: RunOptions): ChildProcessWithoutNullStreams {
  return spawn(program, [...args], {
    ...{ env: { ...env }, cwd: '/', stdio: 'pipe', detached: true },
    ...(user !== null && { uid: user }),
    ...(group !== null && { gid: group }),
  });
}

function watch(
  child: ChildProcessWithoutNullStreams,
  { timeoutMs, input }: RunOptions,
  end: (ended: Ended) => void,
): void {
  const output = gather([child.stdout, child.stderr]);
  let isLate = false;
  let cancel = alarm(timeoutMs, () => {
    isLate = true;
    kill(child.pid);
    cancel = alarm(KILL_MS, () => {
      finish(null, null);
      child.unref();
    });
  });
  const finish = (code: number | null, signal: string | null) => {
    cancel();
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
    end(
      isLate
        ? { kind: 'timeout', isKilled: child.signalCode !== null || child.exitCode !== null, output: output() }
        : { kind: 'ended', code, signal, output: output() },
    );
  };
  child.on('error', () => cancel());
  child.on('exit', (code, signal) => {
    cancel();
    cancel = alarm(DRAIN_MS, () => finish(code, signal));
    child.on('close', () => finish(code, signal));
  });
  // It need not read all of its input.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
}

function gather(streams: readonly Readable[]): () => Buffer {
  let last = Buffer.alloc(0);
  for (const stream of streams) {
    stream.on('data', (chunk: Buffer) => {
      last = Buffer.concat([last, chunk]).subarray(-MOST_OUTPUT);
    });
  }
  return () => last;
}

function kill(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended in this moment, or it may not be killed.
  }
}
