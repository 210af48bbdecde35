/** Node in a process of its own, with an end in any case. */
import { execFile } from 'node:child_process';

/** After it was asked to end, in ms: what it started is gone by then, if it hears at all. */
const GRACE_MS = 10_000;

interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  /** It did not end by itself. */
  readonly isHung: boolean;
}

export function runNode(cwd: string, args: readonly string[], mostMs: number, graceMs = GRACE_MS): Promise<Ran> {
  return new Promise((resolve) => {
    let isHung = false;
    const child = execFile(process.execPath, args, { cwd, maxBuffer: 1 << 28 }, (_error, stdout, stderr) => {
      for (const timer of timers) clearTimeout(timer);
      resolve({ stdout, stderr, isHung });
    });
    const timers = [
      setTimeout(() => {
        isHung = true;
        child.kill();
      }, mostMs),
      setTimeout(() => child.kill('SIGKILL'), mostMs + graceMs),
    ];
  });
}
