/** A command of rekeyd in a process of its own, as a person runs it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { built, flagsFor, SHIPPED_ENV, SHIPPED_FLAGS } from './built.ts';

/** How much of what it says counts when it fails, in characters. */
const TOLD = 1_000;

/**
 * Node's own flags for it come from `BENCH_COMMAND_FLAGS`.
 * @returns the most memory that it held at once, in MiB
 * @throws when it does not exit with 0
 */
export async function peakOfCommand(
  { config, env }: { readonly config: string; readonly env: Readonly<Record<string, string>> },
  ...args: readonly string[]
): Promise<number> {
  const flags = [...SHIPPED_FLAGS, '--import', built('test/bench/peak-at-exit.js').href, ...flagsFor('command')];
  const cli = fileURLToPath(built('src/cli.js'));
  const child = spawn(process.execPath, [...flags, cli, ...args, '--config', config], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, ...SHIPPED_ENV, ...env },
  });
  const peak = child.stdio[3] as Readable; // pipes, as asked for above
  const [told, mib, [code]] = await Promise.all([text(child.stdio[2] as Readable), text(peak), once(child, 'close')]);
  if (code !== 0) throw new Error(`rekeyd ${args.join(' ')} ended with ${code}: ${told.slice(-TOLD)}`);
  return Number(mib);
}
