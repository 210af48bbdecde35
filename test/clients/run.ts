/** Runs the tools of another language. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Of the client library in that language. */
export const folderOf = (language: string) => fileURLToPath(new URL(`../../clients/${language}`, import.meta.url));

/** In ms. What is built for the first time takes longest. */
const PATIENCE_MS = 170_000;

export interface Tool {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What it prints. @throws Error with what it printed when it does not end with 0 */
export async function run(command: string, args: readonly string[], { cwd, env }: Tool): Promise<string> {
  try {
    const { stdout, stderr } = await execute(command, args, { cwd, env, timeout: PATIENCE_MS, maxBuffer: 1 << 24 });
    return stdout + stderr;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const printed = ['stdout', 'stderr']
      .map((name) => ({ ...error })[name])
      .join('\n')
      .trim();
    throw new Error(`${command} ${args.join(' ')} failed:\n${printed || error.message}`);
  }
}

/** Null when it works; else why a test is left out. */
export async function lacking(why: string, attempt: Promise<unknown>): Promise<string | null> {
  return attempt.then(
    () => null,
    (error: Error) => `${why} (${error.message.trim().split('\n').at(-1)})`,
  );
}
