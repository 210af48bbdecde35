/** A person at a terminal in an empty folder, who types lines of the documents. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { openEmbedded } from '../../src/store/embedded/embedded.ts';
import { COMPILED } from '../support/compiled.ts';
import { until } from '../support/patient.ts';

const SOURCE = join(import.meta.dirname, '../..');

/** What stands in the place of programs that a person gets from the project's folder. `npm ci` and the build have tests of their own. */
const PROGRAMS = {
  rekeyd: `exec "${process.execPath}" "${SOURCE}/src/cli.ts" "$@"`,
  npm: `case "$*" in
  ci | "run build") ;;
  "run emulator -- "*) shift 3; exec "${process.execPath}" "${SOURCE}/test/emulator/main.ts" --port 0 "$@" ;;
  *) echo "no npm $*" >&2; exit 1 ;;
esac`,
};

export interface Typed {
  readonly line: string;
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface LeftRunning {
  /** What it has printed until now. */
  printed(): string;
  /** Ends it as Ctrl-C does. @returns its exit code */
  end(): Promise<number | null>;
}

export interface Terminal {
  readonly dir: string;
  /** For the lines that follow. */
  readonly env: Record<string, string>;
  /** Waits for its end. */
  type(line: string): Promise<Typed>;
  /** The same in a terminal of its own, which is left once `sign` was printed. Ended at the latest when the test ends. */
  leave(line: string, sign: string): Promise<LeftRunning>;
}

export async function openTerminal(): Promise<Terminal> {
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-readme-'));
  onTestFinished(async () => {
    // A service that was killed left the embedded server running; the last one that leaves it ends it.
    await (await openEmbedded({ dataDir: join(dir, 'data'), searchPath: process.env.PATH ?? '' })).close();
    await rm(dir, { recursive: true, force: true });
  });
  const programs = join(dir, '.programs');
  await mkdir(programs);
  for (const [name, script] of Object.entries(PROGRAMS)) {
    await writeFile(join(programs, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(programs, name), 0o755);
  }
  const env: Record<string, string> = { ...COMPILED, PATH: `${programs}:${process.env.PATH}`, HOME: dir };

  /** `exec`: a signal reaches what was typed, and not a shell that waits for it. */
  const start = (line: string) => spawn('sh', ['-c', line], { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });

  return {
    dir,
    env,
    async type(line) {
      const child = start(line);
      const [stdout, stderr] = [textOf(child.stdout), textOf(child.stderr)];
      const [code] = await once(child, 'close');
      return { line, code, stdout: stdout(), stderr: stderr() };
    },
    async leave(line, sign) {
      const child = start(`exec ${line}`);
      const [stdout, stderr] = [textOf(child.stdout), textOf(child.stderr)];
      onTestFinished(() => end(child, 'SIGKILL').then(() => undefined));
      const printed = () => stdout() + stderr();
      await until(`${line} prints ${sign}`, () => {
        if (child.exitCode !== null) throw new Error(`${line} ended with ${child.exitCode}: ${printed()}`);
        return printed().includes(sign);
      });
      return { printed, end: () => end(child, 'SIGINT') };
    },
  };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const ended = once(child, 'close');
  child.kill(signal);
  const [code] = await ended;
  return code;
}

function textOf(stream: NodeJS.ReadableStream): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  return () => text;
}
