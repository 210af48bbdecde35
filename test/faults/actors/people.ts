/** People at the command line. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ENVIRONMENT } from '../stage/fleet.ts';
import type { Testbed } from '../stage/testbed.ts';

const CLI = fileURLToPath(new URL('../../../src/cli.ts', import.meta.url));

/** Longer than any command takes whose Redis is there. */
const PATIENCE_MS = 120_000;

/** `rekeyd …` on the first machine. @returns what it printed @throws when it ends with another code than 0 */
export function rekeyd({ direct }: Pick<Testbed, 'direct'>, args: readonly string[]): Promise<string> {
  const env = { PATH: process.env.PATH, ...ENVIRONMENT };
  return new Promise((resolve, reject) => {
    const options = { env, timeout: PATIENCE_MS, maxBuffer: 1 << 26 };
    execFile(process.execPath, [CLI, '--config', direct, ...args], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else
        reject(new Error(`rekeyd ${args.join(' ')} ended with ${error.code}: ${stderr || stdout}`, { cause: error }));
    });
  });
}
